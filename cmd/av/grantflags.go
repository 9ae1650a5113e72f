package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

// requestFlags are what a session would be opened with.
type requestFlags struct {
	allow     []string
	presets   []string
	unmatched string
}

func (f *requestFlags) add(c *cobra.Command) {
	reachFlags(c, &f.allow, &f.presets)
	c.Flags().StringVar(&f.unmatched, "unmatched", string(policy.Deny), "hosts that no service names: `deny` or allow")
}

func (f requestFlags) grant() (g vault.Grant, err error) {
	if g.Unmatched, err = unmatchedHosts(f.unmatched); err != nil {
		return g, err
	}
	_, err = reach(&g, f.allow, f.presets)
	return g, err
}

// reachFlags are those that reach makes a grant of.
func reachFlags(c *cobra.Command, allow, presets *[]string) {
	c.Flags().StringArrayVar(allow, "allow", nil, "let `HOST[:PORT]` be reached without a credential (port 443 if none is named), or tcp://HOST:PORT by any protocol")
	c.Flags().StringArrayVar(presets, "preset", nil, "let the hosts be reached that a tool needs: `NAME`, such as npm")
}

// reach lets g reach what --allow and --preset name, and returns the presets.
func reach(g *vault.Grant, allow, names []string) (list []catalog.Preset, err error) {
	if g.Allow, g.Raw, err = targets(allow); err != nil {
		return nil, err
	}
	list, err = presets(names)
	for _, p := range list {
		g.Allow = append(g.Allow, p.Allow...)
	}
	return list, err
}

// unmatchedHosts is what --unmatched says.
func unmatchedHosts(answer string) (policy.Unmatched, error) {
	switch u := policy.Unmatched(answer); u {
	case policy.Deny, policy.Allow:
		return u, nil
	}
	return "", withHint(fmt.Errorf("unknown answer %q for hosts that no service names", answer), "use --unmatched=deny or --unmatched=allow")
}

// targets are what --allow names, and those of them to which bytes are carried unread.
func targets(allow []string) (out, raw []policy.Target, err error) {
	for _, a := range allow {
		target, unread, err := policy.ParseAllow(a)
		switch {
		case err != nil:
			return nil, nil, elseHint(fmt.Errorf("--allow: %w", err), "name HOST, HOST:PORT, or tcp://HOST:PORT")
		case unread:
			raw = append(raw, target)
		default:
			out = append(out, target)
		}
	}
	return out, raw, nil
}

// targetName is a target as --allow takes it: without the port that it has when none is said.
func targetName(t policy.Target) string { return strings.TrimSuffix(t.String(), ":443") }

func targetNames(list []policy.Target) string {
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = targetName(t)
	}
	return strings.Join(names, ", ")
}
