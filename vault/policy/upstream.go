package policy

import (
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
	if err != nil {
		return netip.AddrPort{}, m.errorf(m.at("address"), `want IP:PORT, such as "10.1.2.3:8443"`, "bad address %q", s)
	}
	if err := grantable(ap); err != nil {
		return netip.AddrPort{}, m.refuse("address", err, "bad address %q: %v", s, err)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// grantable refuses an address that no operator can open to anyone.
func grantable(ap netip.AddrPort) error {
	const want = `want IP:PORT, such as "10.1.2.3:8443"`
	switch addr := ap.Addr().Unmap(); {
	case !ap.IsValid():
		return &problem{"it is no address", want}
	case ap.Port() == 0:
		return &problem{"port 0", want}
	case ap.Addr().Zone() != "":
		return &problem{"it has a zone", want}
	case addr.IsUnspecified() || addr.IsMulticast():
		return &problem{"it is not one host", "name the address at which it is reached, such as 127.0.0.1"}
	case slices.Contains(metadata, addr):
		return &problem{"it is a cloud's metadata service, which hands out the machine's own credentials", "name another address: nothing grants this one"}
	}
	return nil
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
