package fakenet

import (
	"fmt"
	"net/netip"
)

// guestPort is where a guest listens.
const guestPort = 80

// Guest makes the attacker's host answer at another address too, such as that of a cloud's metadata service, for what
// comes from the given networks and for nobody else: this machine's own way to that address stays as it is.
func (n *Net) Guest(addr netip.Addr, from ...netip.Prefix) error {
	if !addr.Is4() {
		return fmt.Errorf("a guest at %s: not an IPv4 address", addr)
	}
	if err := n.space.guest(addr, from); err != nil {
		return fmt.Errorf("a guest at %s: %w", addr, err)
	}
	return n.acceptTCP(netip.AddrPortFrom(addr, guestPort), n.drain)
}
