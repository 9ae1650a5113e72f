package egress

import "net/netip"

// special is the address space that is no host of the public internet: IANA's
// special-purpose registries, and the services that clouds hide among public
// addresses. The first row that holds an address names the reason.
var special = []struct {
	prefix netip.Prefix
	reason string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified address"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private address"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT address"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local address"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved address"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation address"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved address"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking address"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved address"},

	{netip.MustParsePrefix("::/128"), "unspecified address"},
	{netip.MustParsePrefix("::1/128"), "loopback address"},
	{compatible, "IPv4-compatible address"},
	{localNAT64, "local NAT64 address"},
	{teredo, "Teredo address"},
	{netip.MustParsePrefix("2001:2::/48"), "benchmarking address"},
	{netip.MustParsePrefix("2001::/23"), "reserved address"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation address"},
	{sixToFour, "6to4 address"},
	{netip.MustParsePrefix("3fff::/20"), "documentation address"},
	{netip.MustParsePrefix("fc00::/7"), "private address"},
	{netip.MustParsePrefix("fe80::/10"), "link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "site-local address"},
	{netip.MustParsePrefix("ff00::/8"), "multicast address"},
}

var (
	compatible = netip.MustParsePrefix("::/96")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
	teredo     = netip.MustParsePrefix("2001::/32")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	// globalUnicast is all that IANA hands out of IPv6. What lies outside has no
	// host that a name could rightly point to.
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 is where a network without IPv4 reaches IPv4; the last 32 bits are the
	// real destination.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// metadata services hand a cloud machine's own credentials to whoever asks from it.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true, // AWS, Google, Azure, and most others
	netip.MustParseAddr("169.254.170.2"):   true, // AWS ECS
	netip.MustParseAddr("169.254.170.23"):  true, // AWS EKS
	netip.MustParseAddr("168.63.129.16"):   true, // Azure's wire server, a public address
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle
	netip.MustParseAddr("fd00:ec2::254"):   true, // AWS
	netip.MustParseAddr("fd00:ec2::23"):    true, // AWS EKS
	netip.MustParseAddr("fd20:ce::254"):    true, // Google
}

// judge says why addr may not be dialled, "" if it may.
func judge(addr netip.Addr) string {
	if !addr.IsValid() {
		return "no address"
	}
	if addr.Zone() != "" {
		return "address with a zone"
	}
	addr = addr.Unmap()
	if isMetadata(addr) {
		return reasonMetadata
	}
	if nat64.Contains(addr) {
		return judge(lastFour(addr))
	}
	for _, s := range special {
		if s.prefix.Contains(addr) {
			return s.reason
		}
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return "reserved address"
	}
	return ""
}

// judgeGrant judges an address that an operator granted by name. Only one thing is
// never granted: the metadata service, in no disguise.
func judgeGrant(grant netip.AddrPort) string {
	switch addr := grant.Addr(); {
	case grant.Port() == 0:
		return "no port"
	case addr.IsUnspecified() || addr.Unmap().IsUnspecified():
		// The kernel takes it for loopback, which is not what the file says.
		return "unspecified address"
	case addr.IsMulticast() || addr.Unmap().IsMulticast():
		return "multicast address"
	case isMetadata(addr.WithZone("")):
		return reasonMetadata
	}
	return ""
}

const reasonMetadata = "cloud metadata address"

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
// IPv6 address: compatible, NAT64 (RFC 6052, every prefix length), 6to4, Teredo.
func embedded(addr netip.Addr) []netip.Addr {
	b := addr.As16()
	quad := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	switch {
	case sixToFour.Contains(addr):
		return []netip.Addr{quad(2, 3, 4, 5)}
	case teredo.Contains(addr):
		client := netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
		return []netip.Addr{quad(4, 5, 6, 7), client}
	case localNAT64.Contains(addr):
		// The local prefix has any length; byte 8 is skipped by all of them.
		return []netip.Addr{quad(6, 7, 9, 10), quad(7, 9, 10, 11), quad(9, 10, 11, 12), quad(12, 13, 14, 15)}
	case nat64.Contains(addr), compatible.Contains(addr):
		return []netip.Addr{quad(12, 13, 14, 15)}
	}
	return nil
}

func lastFour(addr netip.Addr) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}
