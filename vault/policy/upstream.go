package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// upstream reads `upstream`, the operator's grant to dial an address that the
// egress guard would refuse, and to trust a CA that the system does not.
func (m mapping) upstream(readFile func(string) ([]byte, error)) (Upstream, error) {
	n, ok := m.fields["upstream"]
	if !ok {
		return Upstream{}, nil
	}
	u, err := m.mapping(n, "upstream", "address", "ca")
	if err != nil {
		return Upstream{}, err
	}
	if len(u.fields) == 0 {
		return Upstream{}, u.errorf(n, "give it an address or a ca, or leave it out", "upstream is empty")
	}
	var up Upstream
	if u.fields["address"] != nil {
		if up.Address, err = u.address(); err != nil {
			return Upstream{}, err
		}
	}
	if u.fields["ca"] != nil {
		if up.CA, err = u.ca(readFile); err != nil {
			return Upstream{}, err
		}
	}
	return up, nil
}

// metadata are the addresses that the egress guard never dials, whatever is granted.
// Who writes one here learns it here, and not at the first request.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23"),
	netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("169.254.169.252"), netip.MustParseAddr("169.254.0.23"), netip.MustParseAddr("169.254.42.42"), netip.MustParseAddr("100.96.0.96"),
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd00:ec2::23"), netip.MustParseAddr("fd20:ce::254"),
	netip.MustParseAddr("fd00:42::42"), netip.MustParseAddr("fd00:a9fe:a9fe::1"), netip.MustParseAddr("fe80::a9fe:a9fe"),
}

func (m mapping) address() (netip.AddrPort, error) {
	s, err := m.need("address")
	if err != nil {
		return netip.AddrPort{}, err
	}
	ap, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		err = fmt.Errorf("bad address %q", s)
	case ap.Port() == 0:
		err = fmt.Errorf("bad address %q: port 0", s)
	case ap.Addr().Zone() != "":
		err = fmt.Errorf("bad address %q: it has a zone", s)
	case ap.Addr().Unmap().IsUnspecified() || ap.Addr().Unmap().IsMulticast():
		err = fmt.Errorf("bad address %q: it is not one host", s)
	case slices.Contains(metadata, ap.Addr().Unmap()):
		return netip.AddrPort{}, m.errorf(m.at("address"), "name another address: nothing grants this one",
			"address %q is a cloud's metadata service, which hands out the machine's own credentials", s)
	}
	if err != nil {
		return netip.AddrPort{}, m.errorf(m.at("address"), `want IP:PORT, such as "10.1.2.3:8443"`, "%v", err)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

func (m mapping) ca(readFile func(string) ([]byte, error)) (string, error) {
	s, err := m.need("ca")
	if err != nil {
		return "", err
	}
	src := []byte(s)
	if !strings.Contains(s, pemBegin) {
		if src, err = readFile(s); err != nil {
			return "", m.errorf(m.at("ca"), "want the name of a PEM file, relative to this file, or the PEM itself", "ca: %v", err)
		}
	}
	bundle, err := certificates(src)
	if err != nil {
		return "", m.errorf(m.at("ca"), "want certificates in PEM form", "ca: %v", err)
	}
	return bundle, nil
}
