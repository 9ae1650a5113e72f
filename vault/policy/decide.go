package policy

import (
	"fmt"
	"strings"
)

// Unmatched is what becomes of a host that no service and no allowance names. The
// zero value denies.
type Unmatched string

const (
	Deny  Unmatched = "deny"
	Allow Unmatched = "allow"
)

// The rules of a verdict that no service and no allowance gave.
const (
	RuleUnmatchedAllow = "unmatched allow"
	RuleUnmatchedDeny  = "unmatched deny"
)

// Set is the compiled policy of one session. Verdicts and injection both read it,
// so a host that can receive a credential is a host that policy covers. It does
// not change, and may be read by many at once.
type Set struct {
	rules     map[Target]Verdict
	keys      map[string]bool
	unmatched Verdict
}

// Verdict is what Decide says.
type Verdict struct {
	Allow bool
	// Service is the service that covers the target, nil if none does.
	Service *Service
	// Rule is what decided: "service github", "allow api.x:443", "unmatched deny".
	Rule string
	// Hint is the command that would allow what was denied.
	Hint string
}

// Compile makes the one list. A service wins over an allowance for the same
// target, because it says more.
func Compile(services []Service, allow []Target, unmatched Unmatched) (*Set, error) {
	s := &Set{rules: make(map[Target]Verdict, len(services)+len(allow)), keys: map[string]bool{}}
	switch unmatched {
	case Allow:
		s.unmatched = Verdict{Allow: true, Rule: RuleUnmatchedAllow}
	case Deny, "":
		s.unmatched = Verdict{Rule: RuleUnmatchedDeny}
	default:
		return nil, fmt.Errorf("refusing unmatched %q: it is %s or %s", unmatched, Deny, Allow)
	}
	for _, service := range services {
		t := service.Target()
		if err := canonical(t); err != nil {
			return nil, fmt.Errorf("service %s: %w", service.Name, err)
		}
		if other, taken := s.rules[t]; taken {
			return nil, fmt.Errorf("services %s and %s are both for %s", other.Service.Name, service.Name, t)
		}
		s.rules[t] = Verdict{Allow: true, Service: &service, Rule: "service " + service.Name}
		for _, key := range service.Auth.Keys() {
			s.keys[key] = true
		}
	}
	for _, t := range allow {
		if err := canonical(t); err != nil {
			return nil, fmt.Errorf("allow: %w", err)
		}
		if _, taken := s.rules[t]; !taken {
			s.rules[t] = Verdict{Allow: true, Rule: "allow " + t.String()}
		}
	}
	return s, nil
}

// canonical refuses a target that ParseTarget would have spelled otherwise: no
// request could ever match it, or worse, one that should not would.
func canonical(t Target) error {
	again, err := ParseTarget(t.String(), t.Port)
	if err != nil {
		return err
	}
	if again != t {
		return fmt.Errorf("refusing %q: the canonical form is %q", t, again)
	}
	return nil
}

// Decide looks t up, which must be in canonical form.
func (s *Set) Decide(t Target) Verdict {
	if v, ok := s.rules[t]; ok {
		return v
	}
	v := s.unmatched
	if !v.Allow {
		v.Hint = AllowHint(t)
	}
	return v
}

// Uses tells whether a service of the set needs the credential key.
func (s *Set) Uses(key string) bool { return s.keys[key] }

// AllowHint is the command that lets a run reach t.
func AllowHint(t Target) string { return "av run " + AllowFlag(t) + " ..." }

// AllowFlag is the flag of that command.
func AllowFlag(t Target) string {
	// A host without a port means 443, so that port is not worth typing.
	return "--allow " + strings.TrimSuffix(t.String(), ":443")
}
