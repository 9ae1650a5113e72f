package egress

import "net/netip"

// special is the address space that is no host of the public internet: IANA's
// special-purpose registries, and the services that clouds hide among public
// addresses. The first row that holds an address names the reason. The registries' anycast
// services are here although they are global: whoever is near announces them, and none
// has a web server.
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
	{netip.MustParsePrefix("192.31.196.0/24"), "anycast address"},
	{netip.MustParsePrefix("192.52.193.0/24"), "anycast address"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved address"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private address"},
	{netip.MustParsePrefix("192.175.48.0/24"), "anycast address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking address"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved address"},

	{netip.MustParsePrefix("::/128"), "unspecified address"},
	{netip.MustParsePrefix("::1/128"), "loopback address"},
	{compatible, "IPv4-compatible address"},
	{translated, "IPv4-translated address"},
	{localNAT64, "local NAT64 address"},
	{netip.MustParsePrefix("100::/64"), "discard-only address"},
	{teredo, "Teredo address"},
	{netip.MustParsePrefix("2001:2::/48"), "benchmarking address"},
	{netip.MustParsePrefix("2001:10::/28"), "ORCHID"},
	{netip.MustParsePrefix("2001:20::/28"), "ORCHID"},
	{netip.MustParsePrefix("2001:30::/28"), "drone identifier"},
	{netip.MustParsePrefix("2001::/23"), "reserved address"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation address"},
	{sixToFour, "6to4 address"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "anycast address"},
	{netip.MustParsePrefix("3fff::/20"), "documentation address"},
	{netip.MustParsePrefix("5f00::/16"), "segment identifier"},
	{netip.MustParsePrefix("fc00::/7"), "private address"},
	{netip.MustParsePrefix("fe80::/10"), "link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "site-local address"},
	{netip.MustParsePrefix("ff00::/8"), "multicast address"},
}

var (
	compatible = netip.MustParsePrefix("::/96")
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // SIIT, RFC 2765
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
	if isISATAP(addr) {
		return "ISATAP address"
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
