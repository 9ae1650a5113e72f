package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/av-project/av/images/agents"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

// fitting is what a vault has for an agent.
type fitting struct {
	// slots are those that are filled.
	slots []agents.Slot
	// services are for this run alone: the vault has the credentials, and says nothing of
	// where they go.
	services []policy.Service
	// lent are the entries that those are of.
	lent []string
	// refused says why a credential that the vault has is not used.
	refused []string
}

// fit finds out which of an agent's credentials the vault can give. Of those for one host
// the first is taken for which the vault has a service; else the first of which it has the
// credential, if nobody has said a word about either: no service is for the host, be it
// off, none uses the credential, and it is bound to no other host.
func fit(slots []agents.Slot, entries map[string]catalog.Entry, credentials []vault.Credential, services []policy.Service) (f fitting) {
	taken := map[policy.Target]bool{}
	free := func(e catalog.Entry) bool {
		return !slices.ContainsFunc(e.Services, func(s policy.Service) bool { return taken[s.Target()] })
	}
	take := func(s agents.Slot, e catalog.Entry) {
		f.slots = append(f.slots, s)
		for _, service := range e.Services {
			taken[service.Target()] = true
		}
	}
	for _, s := range slots {
		if e := entries[s.Service]; free(e) && served(e, services) {
			take(s, e)
		}
	}
	for _, s := range slots {
		e := entries[s.Service]
		if !free(e) {
			continue
		}
		why, has := lendable(e, credentials, services)
		switch {
		case has && why == "":
			take(s, e)
			f.services = append(f.services, e.Services...)
			f.lent = append(f.lent, e.Name)
		case has:
			f.refused = append(f.refused, why)
		}
	}
	return f
}

// served tells whether a service of the vault puts a credential where one of the entry does:
// an agent that was given a key sends it in one header, and one with a token in another.
func served(e catalog.Entry, services []policy.Service) bool {
	return slices.ContainsFunc(e.Services, func(want policy.Service) bool {
		return slices.ContainsFunc(services, func(s policy.Service) bool {
			return !s.Disabled && s.Meets(want) && s.Auth.Type == want.Auth.Type && strings.EqualFold(s.Auth.Header, want.Auth.Header)
		})
	})
}

// lendable tells whether the vault has all that an entry needs, and why it is not used all
// the same; empty if it is.
func lendable(e catalog.Entry, credentials []vault.Credential, services []policy.Service) (why string, has bool) {
	for _, c := range e.Credentials {
		i := slices.IndexFunc(credentials, func(known vault.Credential) bool { return known.Key == c.Key })
		if i < 0 {
			return "", false
		}
		known := credentials[i]
		switch {
		case len(known.UsedBy) > 0:
			why = fmt.Sprintf("%s is used by the service %s, and not lent to %s", c.Key, known.UsedBy[0], e.Name)
		case len(known.Hosts) > 0 && !slices.ContainsFunc(c.Hosts, func(h string) bool {
			return slices.ContainsFunc(known.Hosts, func(bound string) bool { return policy.Within(h, bound) })
		}):
			why = fmt.Sprintf("%s is bound to %s, and not lent to %s", c.Key, strings.Join(known.Hosts, ", "), e.Name)
		}
	}
	for _, want := range e.Services {
		if i := slices.IndexFunc(services, func(s policy.Service) bool { return s.Meets(want) || s.Name == want.Name }); i >= 0 {
			why = fmt.Sprintf("the vault's service %s is for %s, so that %s is not set up for this run", services[i].Name, want.Host, e.Name)
		}
	}
	return why, true
}

// say tells what a run does on its own, and what is missing.
func (f fitting) say(a agents.Agent, entries map[string]catalog.Entry) (lines []string) {
	for _, name := range f.lent {
		var keys, hosts []string
		for _, c := range entries[name].Credentials {
			keys = append(keys, c.Key)
			hosts = append(hosts, c.Hosts...)
		}
		lines = append(lines, fmt.Sprintf("%s goes to %s in this run; `av service add %s` makes it so for all",
			strings.Join(keys, " and "), strings.Join(hosts, ", "), name))
	}
	lines = append(lines, f.refused...)
	if len(f.slots) > 0 || len(a.Credentials) == 0 {
		return lines
	}
	var ways []string
	for _, s := range a.Credentials {
		for _, c := range entries[s.Service].Credentials {
			ways = append(ways, "`av credential set "+c.Key+"` and `av service add "+s.Service+"`")
		}
	}
	return append(lines, fmt.Sprintf("the vault has no credential for %s: %s", a.Title, list(ways, ", or ")))
}
