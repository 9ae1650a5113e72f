package vault

import (
	"fmt"
	"slices"

	"github.com/av-project/av/vault/policy"
)

// A grant may bring services of its own: for one session, as if the vault had them. They
// stand in the session's sealed row, go through the same compiler into the same list, and
// what a credential is bound to holds for them as for all.

// checkServices refuses what is the vault's own to say: where to dial and what to trust
// there.
func (g Grant) checkServices() error {
	if len(g.Services) == 0 {
		return nil
	}
	for _, s := range g.Services {
		if s.Upstream != (policy.Upstream{}) || s.Disabled {
			return fmt.Errorf("refusing service %s of a session: it names an upstream, or is disabled", clip(s.Name, maxName))
		}
	}
	return policy.Validate(g.Services)
}

// with are the vault's services and those of the grant that say nothing about what the
// vault has a word on already, be it that it is off.
func (g Grant) with(services []policy.Service) []policy.Service {
	if len(g.Services) == 0 {
		return services
	}
	all := slices.Clone(services)
	for _, own := range g.Services {
		if !slices.ContainsFunc(services, func(s policy.Service) bool { return s.Name == own.Name || s.Meets(own) }) {
			all = append(all, own)
		}
	}
	return all
}
