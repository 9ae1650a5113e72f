package egress

import (
	"net/netip"
	"testing"
)

// registries are the IANA IPv4 and IPv6 special-purpose address registries, RFC 6890,
// as of 2025, multicast and the unallocated space besides.
var registries = []struct {
	prefix, name string
	dialled      bool // by what lies in it
}{
	{"0.0.0.0/8", "this network", false},
	{"0.0.0.0/32", "this host on this network", false},
	{"10.0.0.0/8", "private use", false},
	{"100.64.0.0/10", "shared address space", false},
	{"127.0.0.0/8", "loopback", false},
	{"169.254.0.0/16", "link local", false},
	{"172.16.0.0/12", "private use", false},
	{"192.0.0.0/24", "IETF protocol assignments", false},
	{"192.0.0.0/29", "IPv4 service continuity", false},
	{"192.0.0.8/32", "IPv4 dummy address", false},
	{"192.0.0.9/32", "port control protocol anycast", false},
	{"192.0.0.10/32", "TURN anycast", false},
	{"192.0.0.170/32", "NAT64 discovery", false},
	{"192.0.0.171/32", "DNS64 discovery", false},
	{"192.0.2.0/24", "TEST-NET-1", false},
	{"192.31.196.0/24", "AS112-v4", false},
	{"192.52.193.0/24", "AMT", false},
	{"192.88.99.0/24", "6to4 relay anycast", false},
	{"192.88.99.2/32", "6a44 relay anycast", false},
	{"192.168.0.0/16", "private use", false},
	{"192.175.48.0/24", "direct delegation AS112", false},
	{"198.18.0.0/15", "benchmarking", false},
	{"198.51.100.0/24", "TEST-NET-2", false},
	{"203.0.113.0/24", "TEST-NET-3", false},
	{"224.0.0.0/4", "multicast", false},
	{"240.0.0.0/4", "reserved", false},
	{"255.255.255.255/32", "limited broadcast", false},

	{"::1/128", "loopback", false},
	{"::/128", "unspecified", false},
	{"::ffff:0:0/96", "IPv4-mapped", true},          // judged as the IPv4 address that it is
	{"64:ff9b::/96", "IPv4-IPv6 translation", true}, // likewise
	{"64:ff9b:1::/48", "local IPv4-IPv6 translation", false},
	{"100::/64", "discard only", false},
	{"100:0:0:1::/64", "dummy prefix", false},
	{"2001::/23", "IETF protocol assignments", false},
	{"2001::/32", "Teredo", false},
	{"2001:1::1/128", "port control protocol anycast", false},
	{"2001:1::2/128", "TURN anycast", false},
	{"2001:1::3/128", "DNS-SD service registration anycast", false},
	{"2001:2::/48", "benchmarking", false},
	{"2001:3::/32", "AMT", false},
	{"2001:4:112::/48", "AS112-v6", false},
	{"2001:10::/28", "ORCHID", false},
	{"2001:20::/28", "ORCHIDv2", false},
	{"2001:30::/28", "drone remote identification", false},
	{"2001:db8::/32", "documentation", false},
	{"2002::/16", "6to4", false},
	{"2620:4f:8000::/48", "direct delegation AS112", false},
	{"3fff::/20", "documentation", false},
	{"5f00::/16", "segment routing identifiers", false},
	{"fc00::/7", "unique local", false},
	{"fe80::/10", "link-local unicast", false},
	{"fec0::/10", "site-local unicast", false},
	{"ff00::/8", "multicast", false},
	{"4000::/3", "unallocated", false}, {"6000::/3", "unallocated", false}, {"8000::/3", "unallocated", false},
	{"a000::/3", "unallocated", false}, {"c000::/3", "unallocated", false}, {"e000::/4", "unallocated", false},
}

// Its first address, its last, and one between stand for a prefix.
func TestNoSpecialPurposePrefixOfTheRegistriesMayBeDialled(t *testing.T) {
	for _, r := range registries {
		prefix := netip.MustParsePrefix(r.prefix)
		for _, addr := range []netip.Addr{prefix.Addr(), inside(prefix), last(prefix)} {
			if !prefix.Contains(addr) {
				t.Fatalf("%s does not hold %s", prefix, addr)
			}
			if r.dialled {
				continue
			}
			if judge(addr) == "" {
				t.Errorf("%s, %s: %s may be dialled", r.prefix, r.name, addr)
			}
		}
	}
}

// What encloses an IPv4 address is as good or bad as that.
func TestTranslatedAddressIsJudgedAsTheOneItStandsFor(t *testing.T) {
	for _, r := range registries {
		prefix := netip.MustParsePrefix(r.prefix)
		if !prefix.Addr().Is4() {
			continue
		}
		four := last(prefix).As4()
		mapped := netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: four[0], 13: four[1], 14: four[2], 15: four[3]})
		translated := netip.AddrFrom16([16]byte{1: 0x64, 2: 0xff, 3: 0x9b, 12: four[0], 13: four[1], 14: four[2], 15: four[3]})
		want := judge(last(prefix))
		if got := judge(mapped); got != want || got == "" {
			t.Errorf("%s: %q, want %q", mapped, got, want)
		}
		if got := judge(translated); got != want || got == "" {
			t.Errorf("%s: %q, want %q", translated, got, want)
		}
	}
	for _, addr := range []string{"::ffff:8.8.8.8", "64:ff9b::8.8.8.8"} {
		if got := judge(netip.MustParseAddr(addr)); got != "" {
			t.Errorf("control: %s: %s", addr, got)
		}
	}
}

// The registries' neighbours are ordinary space: no row is wider than what it is for.
func TestNeighboursOfSpecialPrefixesMayBeDialled(t *testing.T) {
	for _, addr := range []string{
		"192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0",
		"192.175.47.255", "192.175.49.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0",
		"2001:200::", "2001:db7:ffff::1", "2001:db9::", "2003::", "2620:4f:7fff::1", "2620:4f:8001::", "3ffe::1", "3fff:1000::",
	} {
		if got := judge(netip.MustParseAddr(addr)); got != "" {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr { return set(p, func(int) bool { return true }) }

// inside has every other of the free bits set.
func inside(p netip.Prefix) netip.Addr { return set(p, func(bit int) bool { return bit%2 == 1 }) }

func set(p netip.Prefix, one func(bit int) bool) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		if one(bit) {
			b[bit/8] |= 0x80 >> (bit % 8)
		}
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}
