package netiso

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostRoutes lists where the host's IPv4 routes lead, in every table: a VPN keeps its
// own where `ip route` does not show them.
func hostRoutes() ([]netip.Prefix, error) {
	routes, err := dumpRoutes()
	for tries := 1; errors.Is(err, netlink.ErrDumpInterrupted) && tries < dumpTries; tries++ {
		routes, err = dumpRoutes()
	}
	if err != nil {
		return nil, fmt.Errorf("read the host's routes: %w", err)
	}
	var out []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		bits, _ := r.Dst.Mask.Size()
		if ok {
			out = append(out, netip.PrefixFrom(addr, bits))
		}
	}
	return routed(out), nil
}

// dumpTries is how often the routes are read again when they changed meanwhile, as they
// do all the time while many runs start and end.
const dumpTries = 32

func dumpRoutes() ([]netlink.Route, error) {
	every := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	return netlink.RouteListFiltered(netlink.FAMILY_V4, every, netlink.RT_FILTER_TABLE)
}
