package fakenet

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// guestTable and guestRule are the routing table and the place among the rules that
	// no one else on a machine is likely to have.
	guestTable = 64266
	guestRule  = 26642
)

func (s *space) guest(addr netip.Addr, from []netip.Prefix) error {
	err := s.do(func() error {
		link, err := netlink.LinkByName(insideLink)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(link, &netlink.Addr{IPNet: single(addr)})
	})
	if err != nil {
		return err
	}
	link, err := netlink.LinkByName(hostLink)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: single(addr), Scope: netlink.SCOPE_LINK, Table: guestTable}
	if err := netlink.RouteAdd(route); err != nil {
		return err
	}
	for _, prefix := range slices.Compact(from) {
		rule := netlink.NewRule()
		rule.Family, rule.Priority, rule.Table = netlink.FAMILY_V4, guestRule, guestTable
		rule.Src, rule.Dst = network(prefix), single(addr)
		if err := netlink.RuleAdd(rule); err != nil {
			return err
		}
	}
	return nil
}

// dropGuests takes the rules away, which do not go with the link: those of ours, and those that a killed process left.
func dropGuests() error {
	rules, err := netlink.RuleListFiltered(netlink.FAMILY_V4, &netlink.Rule{Table: guestTable}, netlink.RT_FILTER_TABLE)
	if errors.Is(err, unix.EPERM) {
		return nil // who may not list them has made none
	}
	if err != nil {
		return err
	}
	for _, rule := range rules {
		err = errors.Join(err, netlink.RuleDel(&rule))
	}
	return err
}
