package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// hostSuffix ends the names by which a session reaches what it was given of the host's own
// network: pg.host. Such a name is never looked up, so that what one leads to is never
// anybody's answer. It hides what the internet has in .host.
const hostSuffix = ".host"

// OnHost tells whether name is one that only a host service can have.
func OnHost(name string) bool { return name == hostSuffix[1:] || strings.HasSuffix(name, hostSuffix) }

// HostService is one TCP endpoint that an operator opens to a session, whatever kind of
// address it has: the host's loopback, a database of the local network. Bytes are carried
// there unread, with no credential.
type HostService struct {
	Name string `json:"name"` // pg: one label, in canonical form
	// Address is what is dialled, and its port is the one port of the name.
	Address netip.AddrPort `json:"address"`
}

// Target is the service as the session names it.
func (h HostService) Target() Target { return Target{h.Name + hostSuffix, h.Address.Port()} }

func (h HostService) String() string { return fmt.Sprintf("%s is %s", h.Target(), h.Address) }

// ParseHostService reads what --host-service names: NAME=HOST:PORT. The host may be a name
// too: what it leads to is for the caller to find out, once.
func ParseHostService(s string) (name string, at Target, err error) {
	name, rest, given := strings.Cut(s, "=")
	if !given {
		return "", Target{}, &problem{fmt.Sprintf("refusing %q: it has no =", s), hostServiceForm}
	}
	t, err := ParseTarget(name+hostSuffix, 1)
	switch {
	case err != nil, strings.Contains(name, "."), t.Port != 1:
		return "", Target{}, &problem{fmt.Sprintf("refusing the name %q: it is not one part of a host's name", name), "use letters, digits and hyphens: pg, to be reached as pg" + hostSuffix}
	}
	if at, err = ParseTarget(rest, 0); err != nil {
		return "", Target{}, err
	}
	return strings.TrimSuffix(t.Host, hostSuffix), at, nil
}

const hostServiceForm = "write NAME=HOST:PORT, such as pg=127.0.0.1:5432"

// Check refuses a service that ParseHostService would have read otherwise, and an address
// that nobody can grant.
func (h HostService) Check() error {
	if strings.Contains(h.Name, ".") {
		return fmt.Errorf("refusing the name %q: it has a dot", h.Name)
	}
	again, err := ParseTarget(h.Target().String(), h.Target().Port)
	if err := same(h.Target().String(), again.String(), err); err != nil {
		return err
	}
	if err := h.CheckAddress(); err != nil {
		return err
	}
	if addr := h.Address.Addr(); addr != addr.Unmap() {
		return fmt.Errorf("refusing %s: the canonical form is %s", addr, addr.Unmap())
	}
	return nil
}

// CheckAddress refuses an address that nobody can grant.
func (h HostService) CheckAddress() error {
	if err := grantable(h.Address); err != nil {
		return &problem{fmt.Sprintf("refusing %s: %v", h.Address, err), hintOf(err)}
	}
	return nil
}

// allowHostServices adds what the host is to be reached by.
func (s *Set) allowHostServices(list []HostService) error {
	for _, h := range list {
		if err := h.Check(); err != nil {
			return err
		}
		t := h.Target()
		if _, twice := s.allowed[t]; twice {
			return &problem{fmt.Sprintf("%s is named twice", t), "give each its own name"}
		}
		s.allowed[t] = Verdict{Allow: true, Raw: true, Rule: "host-service " + h.Name, Address: h.Address}
	}
	return nil
}

// foreign refuses the name of a host service where a host of the world is meant.
func foreign(host string) error {
	if !OnHost(host) {
		return nil
	}
	return &problem{fmt.Sprintf("names in %s are those of host services", hostSuffix), "open one with --host-service NAME=HOST:PORT"}
}

// hostServiceFlag is the flag that would open t. Where it leads is for a person to say: an
// agent that asks for db.host must not get to write what is typed next. "" for a name
// that no host service can have.
func hostServiceFlag(t Target) string {
	name, _ := strings.CutSuffix(t.Host, hostSuffix)
	if strings.Contains(name, ".") || name == t.Host {
		return ""
	}
	return fmt.Sprintf("--host-service %s=HOST:%d", name, t.Port)
}

// hintOf is the next step that an error has, if it has one.
func hintOf(err error) string {
	if p, ok := errors.AsType[*problem](err); ok {
		return p.hint
	}
	return ""
}
