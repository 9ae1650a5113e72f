package policy

import (
	"fmt"
	"net/netip"
)

// TLSMode is what becomes of the TLS of a service's clients. The zero value: the proxy
// ends it with a certificate of its own, and reads the requests.
type TLSMode string

// TLSPassthrough is for clients that pin the upstream's certificate: their connections
// go through as they are, and nobody reads them.
const TLSPassthrough TLSMode = "passthrough"

// Opaque tells whether the connections of s go through unread.
func (s *Service) Opaque() bool { return s.TLS == TLSPassthrough }

// tls reads `tls`, once the rest of the service is known.
func (m mapping) tls(s *Service) error {
	if m.fields["tls"] != nil {
		mode, err := m.need("tls")
		if err != nil {
			return err
		}
		s.TLS = TLSMode(mode)
	}
	if field, err := s.opaque(); err != nil {
		return m.refuse(field, err, "%v", err)
	}
	return nil
}

// opaque refuses what a service says about requests that nobody reads, and names the
// field that says it.
func (s *Service) opaque() (field string, err error) {
	const because = "with tls: passthrough nobody reads the requests, so that "
	_, isName := netip.ParseAddr(s.Host)
	switch {
	case s.TLS == "":
		return "", nil
	case !s.Opaque():
		return "tls", &problem{"unknown tls " + short(string(s.TLS)), "write `tls: passthrough`, or leave it out"}
	case s.Auth.Type != Passthrough:
		return "auth", &problem{because + "nothing can be added to them", "write `auth: {type: passthrough}`"}
	case len(s.Substitutions) > 0:
		return "substitutions", &problem{because + "nothing can be replaced in them", "remove substitutions"}
	case len(s.Methods) > 0:
		return "methods", &problem{because + "there is no method to go by", "remove methods"}
	case s.Path != "":
		return "host", &problem{because + "there is no path to go by", "remove the path"}
	case s.Upstream.CA != "":
		return "upstream", &problem{"with tls: passthrough it is the client that verifies the upstream", "remove upstream.ca"}
	case isName == nil:
		return "host", &problem{"with tls: passthrough the client has to say the host in its handshake, and cannot say an address", "name the host"}
	}
	return "", nil
}

// divided finds an enabled service that cannot stand beside an earlier one: a tunnel is
// read or it is not, and what its requests are for comes too late to decide that.
func divided(services []Service) (i int, err error) {
	first := map[Target]*Service{}
	for i := range services {
		s := &services[i]
		if s.Disabled {
			continue
		}
		other := first[s.Target()]
		if other == nil {
			first[s.Target()] = s
		} else if s.Opaque() || other.Opaque() {
			return i, &problem{fmt.Sprintf("services %q and %q are both for %s, and one of them has tls: passthrough", other.Name, s.Name, s.Target()),
				"keep one of them, or set `enabled: false` in one"}
		}
	}
	return 0, nil
}
