package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/images/agents"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/catalog"
)

// agentFlags say which agent a run is of.
type agentFlags struct{ name string }

func (f *agentFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "agent", "", "treat the command as the agent `NAME` (default: by its name); generic: as none. `av agents` lists them")
}

// choose says which agent a run is of. On the host there is none: what is there is the
// user's own, logged in or not.
func (f agentFlags) choose(e *env, isolation, image string, command []string) (a agents.Agent, err error) {
	if isolation == "host" {
		if f.name != "" {
			return a, withHint(errors.New("--agent needs a container"), "add --isolation=container")
		}
		return agents.Agent{Name: agents.Generic}, nil
	}
	set, err := e.agents()
	if err != nil {
		return a, err
	}
	if f.name == "" {
		a = set.Infer(command[0])
	} else if a, err = set.Find(f.name); err != nil {
		return a, err
	}
	if image == "" {
		err = installable(a, "build an image that holds it, and name that with --image")
	}
	return a, err
}

// installable refuses an agent that av cannot make an image of.
func installable(a agents.Agent, hint string) error {
	if !a.Install.None() || a.Name == agents.Generic {
		return nil
	}
	return withHint(fmt.Errorf("av cannot install %s: its file says of nothing to install", a.Title), hint)
}

// outfit gives a run what its agent needs, as far as the vault can: it is asked which of
// the agent's credentials it has, and what is said of their hosts.
func (e *env) outfit(ctx context.Context, a agents.Agent, b *broker, spec *runner.Spec, quiet bool) error {
	if a.Name == agents.Generic {
		return nil
	}
	services, err := b.vault.Services(ctx, vault.Owner())
	if err != nil {
		return err
	}
	credentials, err := b.vault.Credentials(ctx, vault.Owner())
	if err != nil {
		return err
	}
	entries := map[string]catalog.Entry{}
	for _, s := range a.Credentials {
		if entries[s.Service], err = catalog.Find(s.Service); err != nil {
			return err
		}
	}
	fits := fit(a.Credentials, entries, credentials, services)
	hosts, err := allowed(a)
	if err != nil {
		return err
	}
	b.grant.Allow = append(b.grant.Allow, hosts...)
	b.grant.Services = append(b.grant.Services, fits.services...)
	for _, line := range fits.say(a, entries) {
		e.say(quiet, line)
	}
	equip(a, fits.slots, spec)
	return nil
}

// equip sets in a run what an agent wants to find: variables, unless --env sets them, and
// files.
func equip(a agents.Agent, slots []agents.Slot, spec *runner.Spec) {
	env := map[string]string{}
	maps.Copy(env, a.Env)
	files := slices.Clone(a.Files)
	for _, s := range slots {
		maps.Copy(env, s.Env)
		files = append(files, s.Files...)
	}
	var set []string
	for _, name := range sorted(env) {
		if !slices.ContainsFunc(spec.Env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }) {
			set = append(set, name+"="+env[name])
		}
	}
	spec.Env = append(set, spec.Env...)
	for _, f := range files {
		spec.HomeFiles = append(spec.HomeFiles, runner.HomeFile{Path: f.Path, Content: []byte(f.Content)})
	}
}
