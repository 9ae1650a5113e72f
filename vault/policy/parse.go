package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const (
	maxFile     = 4 << 20 // bytes of a services file
	maxServices = 10_000  // in one vault
)

var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// Parse reads a services file strictly: what it cannot read it refuses with the
// line and the column, because a rule that was misread may send a credential to the
// wrong host. readFile reads a file that the services file names, relative to it.
func Parse(file string, src []byte, readFile func(string) ([]byte, error)) ([]Service, error) {
	d := document{file}
	if len(src) > maxFile {
		return nil, d.errorf(nil, "", "the file is larger than %d MiB", maxFile>>20)
	}
	root, err := d.root(src)
	if err != nil {
		return nil, err
	}
	top, err := d.mapping(root, "the file", []string{"services"}, nil)
	if err != nil {
		return nil, err
	}
	list, ok := top.at("services").(*ast.SequenceNode)
	if !ok {
		return nil, d.errorf(top.at("services"), "write `services: []` for no services", "services is %s, want a list", kind(top.fields["services"]))
	}
	if len(list.Values) > maxServices {
		return nil, d.errorf(list, "", "more than %d services", maxServices)
	}
	services := make([]Service, 0, len(list.Values))
	names, targets := map[string]bool{}, map[Target]string{}
	for _, n := range list.Values {
		m, s, err := d.service(n, readFile)
		if err != nil {
			return nil, err
		}
		if names[s.Name] {
			return nil, d.errorf(m.at("name"), "give each service a name of its own", "there are two services named %q", s.Name)
		}
		if other, taken := targets[s.Target()]; taken {
			return nil, d.errorf(m.at("host"), "keep one of them", "services %q and %q are both for %s", other, s.Name, s.Target())
		}
		names[s.Name], targets[s.Target()] = true, s.Name
		services = append(services, s)
	}
	return services, nil
}

func (d document) service(n ast.Node, readFile func(string) ([]byte, error)) (mapping, Service, error) {
	m, err := d.mapping(n, "a service",
		[]string{"name", "host", "auth", "upstream"}, []string{"methods", "substitutions", "enabled"})
	if err != nil {
		return m, Service{}, err
	}
	s := Service{}
	if s.Name, err = m.need("name"); err != nil {
		return m, s, err
	}
	if !slug.MatchString(s.Name) {
		return m, s, m.errorf(m.at("name"), "use a-z, 0-9 and hyphens inside, up to 64", "bad service name %q", s.Name)
	}
	if s.Host, s.Port, err = m.host(); err != nil {
		return m, s, err
	}
	if s.Auth, err = m.auth(); err != nil {
		return m, s, err
	}
	s.Upstream, err = m.upstream(readFile)
	return m, s, err
}

// host reads `host`, an exact name with an optional port.
func (m mapping) host() (string, uint16, error) {
	host, err := m.need("host")
	if err != nil {
		return "", 0, err
	}
	switch {
	case strings.Contains(host, "*"):
		return "", 0, m.errorf(m.at("host"), "name each host", "host %q: wildcards are not supported by this version", host)
	case strings.Contains(host, "://"):
		return "", 0, m.errorf(m.at("host"), "leave out the scheme", "host %q is a URL, want a host name", host)
	case strings.Contains(host, "/"):
		return "", 0, m.errorf(m.at("host"), "leave out the path", "host %q: paths are not supported by this version", host)
	}
	t, err := ParseTarget(host, DefaultPort)
	if err != nil {
		return "", 0, m.errorf(m.at("host"), "want a host name, with :port if it is not 443", "host: %v", err)
	}
	if t.Port == DefaultPort {
		return t.Host, 0, nil
	}
	return t.Host, t.Port, nil
}

// upstream reads `upstream`, the operator's grant to dial an address that the
// egress guard would refuse, and to trust a CA that the system does not.
func (m mapping) upstream(readFile func(string) ([]byte, error)) (Upstream, error) {
	n, ok := m.fields["upstream"]
	if !ok {
		return Upstream{}, nil
	}
	u, err := m.mapping(n, "upstream", []string{"address", "ca"}, nil)
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
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd00:ec2::23"), netip.MustParseAddr("fd20:ce::254"),
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
