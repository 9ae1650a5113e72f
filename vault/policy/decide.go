package policy

import (
	"fmt"
	"net/netip"
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

// Verdict is what Decide says.
type Verdict struct {
	Allow bool
	// Service is the service that covers the request. It is nil if none does, and in every
	// denial: what is denied gets no credential, whoever forgets to look at Allow.
	Service *Service
	// Raw is set where a tunnel carries bytes that nobody reads.
	Raw bool
	// Address is dialled instead of what the name resolves to, where a host service says so.
	Address netip.AddrPort
	// Rule is what decided: "service github", "allow api.x:443", "host-service pg", "unmatched deny".
	Rule string
	// Hint says what would be allowed, or how to allow what was denied.
	Hint string
}

// Dial is the address that an operator has said for what was judged; none: resolve.
func (v Verdict) Dial() netip.AddrPort {
	if v.Service != nil {
		return v.Service.Upstream.Address
	}
	return v.Address
}

// Decide judges a request to t, which must be in canonical form. path is the request's
// path as it stands on the wire, without its query.
//
// Among the enabled services that cover host, port, path and method the best one counts:
// an exact host before a wildcard, then the longest path up to its first *, then the first
// in the file. A target that any service covers belongs to the services: what none of them
// covers there is denied, whatever is allowed besides.
func (s *Set) Decide(t Target, method, path string) Verdict {
	p := s.places(t)
	if p.none() {
		return s.elsewhere(t)
	}
	r, agreed := p.judge(method, path)
	switch {
	case !agreed:
		if r == nil {
			r = p.nearest()
		}
		return Verdict{Rule: serviceRule(r.service), Hint: fmt.Sprintf(
			"servers read this path in more than one way, and the services of %s depend on it: send it without %%2e, %%2f, ;, \\, // and dots", t)}
	case r == nil:
		return p.uncovered(path)
	}
	return r.verdict
}

// uncovered is the verdict for a method or a path that no service has.
func (p places) uncovered(path string) Verdict {
	near := p.nearest()
	if all := readings(path); len(all) > 0 {
		// One that has the path and not the method is what was meant.
		if r := p.best(all[0], func(*rule) bool { return true }); r != nil {
			near = r
		}
	}
	hint := fmt.Sprintf("service %s covers %s", near.service.Name, near.service.covers())
	if !p.alone() {
		hint += "; others cover more of this host: `av service list` shows them"
	}
	return Verdict{Rule: serviceRule(near.service), Hint: hint}
}

// Reach tells whether any request to t, which must be in canonical form, can be
// allowed: what is asked before a tunnel is opened. Where several services share t, the
// one that is named is the first of the nearest host.
func (s *Set) Reach(t Target) Verdict {
	if p := s.places(t); !p.none() {
		return p.nearest().verdict
	}
	return s.elsewhere(t)
}

// ByPath tells whether what becomes of a request to t depends on its path.
func (s *Set) ByPath(t Target) bool {
	p := s.places(t)
	return p[0] != nil && p[0].paths || p[1] != nil && p[1].paths
}

// elsewhere is the verdict for a target of no service.
func (s *Set) elsewhere(t Target) Verdict {
	if v, ok := s.allowed[t]; ok {
		return v
	}
	v := s.unmatched
	if OnHost(t.Host) {
		v = Verdict{Rule: RuleUnmatchedDeny} // whatever else is open: it would be looked up
	}
	if !v.Allow {
		v.Hint = AllowHint(t)
	}
	return v
}

// AllowHint is the command that lets a run reach t, "" if there is none.
func AllowHint(t Target) string {
	if flag := AllowFlag(t); flag != "" {
		return "av run " + flag + " ..."
	}
	return ""
}

// AllowFlag is the flag of that command.
func AllowFlag(t Target) string {
	if OnHost(t.Host) {
		return hostServiceFlag(t)
	}
	// A host without a port means 443, so that port is not worth typing.
	return "--allow " + strings.TrimSuffix(t.String(), ":443")
}
