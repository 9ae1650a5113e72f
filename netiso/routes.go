package netiso

import "net/netip"

// narrowest is the shortest prefix that counts as a route to somewhere: no private
// range is wider than a /8. The default route is none, nor are the two halves
// (0.0.0.0/1 and 128.0.0.0/1) by which a VPN stands in for it: a run's own network is
// narrower and goes first. Were they counted, no run could start beside such a VPN.
const narrowest = 8

// routed leaves out of a list of routes those that lead everywhere.
func routed(routes []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range routes {
		if r.Addr().Is4() && r.Bits() >= narrowest {
			out = append(out, r)
		}
	}
	return out
}
