package egress

import "net/netip"

const reasonMetadata = "cloud metadata address"

// metadata services hand a cloud machine's own credentials to whoever asks from it.
// vault/policy has a copy of this list, which a test holds against it.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"):   true, // AWS, Google, Azure, and most others
	netip.MustParseAddr("169.254.169.252"):   true, // Google Kubernetes Engine, on each node
	netip.MustParseAddr("169.254.170.2"):     true, // AWS ECS
	netip.MustParseAddr("169.254.170.23"):    true, // AWS EKS
	netip.MustParseAddr("169.254.0.23"):      true, // Tencent
	netip.MustParseAddr("169.254.42.42"):     true, // Scaleway
	netip.MustParseAddr("168.63.129.16"):     true, // Azure's wire server, a public address
	netip.MustParseAddr("100.100.100.200"):   true, // Alibaba
	netip.MustParseAddr("100.96.0.96"):       true, // Volcengine
	netip.MustParseAddr("192.0.0.192"):       true, // Oracle
	netip.MustParseAddr("fd00:ec2::254"):     true, // AWS
	netip.MustParseAddr("fd00:ec2::23"):      true, // AWS EKS
	netip.MustParseAddr("fd20:ce::254"):      true, // Google
	netip.MustParseAddr("fd00:42::42"):       true, // Scaleway
	netip.MustParseAddr("fd00:a9fe:a9fe::1"): true, // Linode
	netip.MustParseAddr("fe80::a9fe:a9fe"):   true, // OpenStack
}

// isMetadata looks through every way to write an IPv4 address as IPv6.
func isMetadata(addr netip.Addr) bool {
	addr = addr.Unmap()
	if metadata[addr] {
		return true
	}
	if !addr.Is6() {
		return false
	}
	for _, inner := range embedded(addr) {
		if metadata[inner] {
			return true
		}
	}
	return false
}

// embedded are the IPv4 addresses that a translator or tunnel could read out of the
// IPv6 address: compatible, translated, NAT64 (RFC 6052, every prefix length), 6to4,
// Teredo, ISATAP.
func embedded(addr netip.Addr) []netip.Addr {
	b := addr.As16()
	quad := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	// A network may translate under a prefix of its own, which nothing betrays. Nobody
	// has an honest host whose address ends in that of a metadata service.
	out := []netip.Addr{lastFour(addr)}
	switch {
	case sixToFour.Contains(addr):
		out = append(out, quad(2, 3, 4, 5))
	case teredo.Contains(addr):
		client := netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
		out = append(out, quad(4, 5, 6, 7), client)
	case localNAT64.Contains(addr):
		// The local prefix has any length; byte 8 is skipped by all of them.
		out = append(out, quad(6, 7, 9, 10), quad(7, 9, 10, 11), quad(9, 10, 11, 12))
	}
	return out
}

func lastFour(addr netip.Addr) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

// isISATAP knows the interface identifiers of RFC 5214, whose last 32 bits are an IPv4
// address of the site. They occur under any prefix.
func isISATAP(addr netip.Addr) bool {
	if !addr.Is6() {
		return false
	}
	b := addr.As16()
	return b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
