package policy

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// ExactHosts are the names and addresses for which requests are read: of the enabled
// services in their order, wildcards left out, and then of what is allowed besides. None
// comes twice.
func (s *Set) ExactHosts() iter.Seq[string] {
	return func(yield func(string) bool) {
		seen := map[string]bool{}
		once := func(host string) bool {
			if seen[host] {
				return true
			}
			seen[host] = true
			return yield(host)
		}
		for _, service := range s.services {
			if service.Disabled || service.Opaque() || strings.HasPrefix(service.Host, wildcard) {
				continue
			}
			if !once(service.Host) {
				return
			}
		}
		byName := func(a, b Target) int { return strings.Compare(a.String(), b.String()) }
		for _, t := range slices.SortedFunc(maps.Keys(s.allowed), byName) {
			// A target that a service has is the service's, however it is allowed besides.
			if p := s.places(t); s.allowed[t].Raw || !p.none() && p.nearest().service.Opaque() {
				continue
			}
			if !once(t.Host) {
				return
			}
		}
	}
}
