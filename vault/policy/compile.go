package policy

import (
	"fmt"
	"strings"
)

// Set is the compiled policy of one session. Verdicts and injection both read it,
// so a host that can receive a credential is a host that policy covers. It does
// not change, and may be read by many at once.
type Set struct {
	exact     map[Target]*place
	wild      map[Target]*place // by the name below which any one label is meant
	allowed   map[Target]Verdict
	unmatched Verdict
	keys      map[string]bool
	services  []*Service // all, those that are not enabled too
}

// Open is what a session may reach besides the services.
type Open struct {
	Unmatched Unmatched
	Allow     []Target
	Raw       []Target // to which bytes are carried unread
	Host      []HostService
}

// Compile makes the one list of services and targets.
func Compile(services []Service, allow []Target, unmatched Unmatched, raw ...Target) (*Set, error) {
	return Open{Unmatched: unmatched, Allow: allow, Raw: raw}.Compile(services)
}

// Compile makes the one list. A service wins over an allowance for the same
// target, because it says more.
func (o Open) Compile(services []Service) (*Set, error) {
	s := &Set{exact: map[Target]*place{}, wild: map[Target]*place{}, allowed: map[Target]Verdict{}, keys: map[string]bool{}}
	switch o.Unmatched {
	case Allow:
		s.unmatched = Verdict{Allow: true, Rule: RuleUnmatchedAllow}
	case Deny, "":
		s.unmatched = Verdict{Rule: RuleUnmatchedDeny}
	default:
		return nil, fmt.Errorf("refusing unmatched %q: it is %s or %s", o.Unmatched, Deny, Allow)
	}
	matches := make(map[string]string, len(services))
	for i := range services {
		service := services[i] // a copy: the caller's may change
		if err := service.canonical(); err != nil {
			return nil, fmt.Errorf("service %s: %w", service.Name, err)
		}
		s.services = append(s.services, &service)
		if service.Disabled {
			continue
		}
		if other, taken := matches[service.matches()]; taken {
			return nil, fmt.Errorf("services %s and %s are both for %s", other, service.Name, service.covers())
		}
		matches[service.matches()] = service.Name
		s.add(&service, i)
	}
	if _, err := divided(services); err != nil {
		return nil, err
	}
	for _, p := range s.exact {
		p.ready()
	}
	for _, p := range s.wild {
		p.ready()
	}
	for _, t := range o.Allow {
		if err := canonical(t); err != nil {
			return nil, fmt.Errorf("allow: %w", err)
		}
		s.allowed[t] = Verdict{Allow: true, Rule: "allow " + t.String()}
	}
	if err := s.allowRaw(o.Raw); err != nil {
		return nil, err
	}
	return s, s.allowHostServices(o.Host)
}

func (s *Set) add(service *Service, order int) {
	r := &rule{service: service, order: order, path: newGlobs(service.Path),
		verdict: Verdict{Allow: true, Service: service, Rule: serviceRule(service)}}
	t, in := service.Target(), s.exact
	if domain, wild := strings.CutPrefix(t.Host, wildcard); wild {
		t.Host, in = domain, s.wild
	}
	if in[t] == nil {
		in[t] = &place{}
	}
	in[t].rules = append(in[t].rules, r)
	for _, key := range service.Keys() {
		s.keys[key] = true
	}
}

func serviceRule(s *Service) string { return "service " + s.Name }

// Uses tells whether an enabled service of the set needs the credential key.
func (s *Set) Uses(key string) bool { return s.keys[key] }

// canonical refuses a target that ParseTarget would have spelled otherwise: no
// request could ever match it, or worse, one that should not would.
func canonical(t Target) error {
	if err := foreign(t.Host); err != nil {
		return fmt.Errorf("refusing %q: %w", t, err)
	}
	again, err := ParseTarget(t.String(), t.Port)
	return same(t.String(), again.String(), err)
}

// canonical refuses a service that Parse would have read otherwise, in what says which
// requests it is for.
func (s *Service) canonical() error {
	t := s.Target()
	host := t.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	again, err := readPattern(host, t.Port)
	if err == nil {
		err = tooWide(t.Host, len(s.Keys()) > 0)
	}
	if err == nil {
		err = foreign(strings.TrimPrefix(t.Host, wildcard))
	}
	if err != nil {
		return fmt.Errorf("refusing %q: %w", s.Host, err)
	}
	if err := same(t.String(), again.String(), nil); err != nil {
		return err
	}
	if _, err := s.opaque(); err != nil {
		return err
	}
	if s.Path != "" {
		path, err := parsePath(s.Path)
		if err := same(s.Path, path, err); err != nil {
			return err
		}
	}
	if s.MaxBytesOut < 0 {
		return fmt.Errorf("refusing max_bytes_out %d: it is negative", s.MaxBytesOut)
	}
	for i, m := range s.Methods {
		if !known[m] || i > 0 && s.Methods[i-1] >= m {
			return fmt.Errorf("refusing methods %q: want known ones in capitals, in order", s.Methods)
		}
	}
	return nil
}

func same(is, want string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("refusing %q: %w", is, err)
	case is != want:
		return fmt.Errorf("refusing %q: the canonical form is %q", is, want)
	}
	return nil
}

// places finds those of t.
func (s *Set) places(t Target) places {
	p := places{0: s.exact[t]}
	if domain := parent(t.Host); domain != "" {
		p[1] = s.wild[Target{domain, t.Port}]
	}
	return p
}
