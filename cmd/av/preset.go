package main

import (
	"context"
	"slices"
	"strings"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

// presets are what --preset names.
func presets(names []string) (list []catalog.Preset, err error) {
	for _, name := range names {
		p, err := catalog.FindPreset(name)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// tellMissing says how to add the services of presets that are not set up: without them
// the tool runs, and its requests there are refused.
func (e *env) tellMissing(ctx context.Context, v *vault.Vault, list []catalog.Preset, quiet bool) error {
	if len(list) == 0 {
		return nil
	}
	services, err := v.Services(ctx, vault.Owner())
	if err != nil {
		return err
	}
	for _, p := range list {
		if missing := notSetUp(p, services); len(missing) > 0 {
			e.say(quiet, "preset "+p.Name+" has services that are not set up; `av service add "+strings.Join(missing, "`, `av service add ")+"`")
		}
	}
	return nil
}

// notSetUp are the entries of a preset of which no host has a service that is on.
func notSetUp(p catalog.Preset, services []policy.Service) (missing []string) {
	for _, name := range p.Services {
		entry, err := catalog.Find(name)
		if err != nil || slices.ContainsFunc(entry.Services, func(s policy.Service) bool { return covered(s, services) }) {
			continue
		}
		missing = append(missing, name)
	}
	return missing
}

func covered(s policy.Service, services []policy.Service) bool {
	return slices.ContainsFunc(services, func(other policy.Service) bool {
		return !other.Disabled && other.Target().Port == s.Target().Port &&
			(other.Host == s.Host || policy.Covers(other.Host, s.Host) || policy.Covers(s.Host, other.Host))
	})
}
