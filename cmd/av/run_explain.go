package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/images/agents"
	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

// explainFlags are for those who want to know before they run.
type explainFlags struct {
	explain bool
	json    bool
}

func (f *explainFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.explain, "explain", false, "print what would be run, with what, and who said so; run nothing")
	c.Flags().BoolVar(&f.json, "json", false, "with --explain: print JSON")
}

func (f explainFlags) check(detached bool) error {
	if f.explain && detached {
		return withHint(errors.New("--explain runs nothing, and so nothing is detached"), "leave one of the two out")
	}
	if f.json && !f.explain {
		return withHint(errors.New("--json is for --explain"), "av run --explain --json -- COMMAND")
	}
	return nil
}

// explained is all that a run would be made of. It has no secret: of variables there are
// the names, and so it is of credentials and of the command's arguments.
type explained struct {
	Command   string                 `json:"command,omitempty"`
	Arguments int                    `json:"arguments"`
	Agent     string                 `json:"agent,omitempty"`
	Isolation string                 `json:"isolation"`
	Folder    string                 `json:"folder"`
	Image     explainedImage         `json:"image,omitzero"`
	Shared    []explainedShare       `json:"shared,omitempty"` // of the user's home, where it is there
	Env       []valueFrom            `json:"env"`              // names
	Unmatched policy.Unmatched       `json:"unmatched"`
	Hosts     []explainedHost        `json:"hosts"`
	Missing   []string               `json:"not_set_up,omitempty"` // services that presets name
	Limits    map[string]string      `json:"limits"`
	Walls     explainedWalls         `json:"walls"`
	Vault     explainedVault         `json:"vault"`
	Engine    explainedEngine        `json:"engine,omitzero"`
	Settings  map[string][]valueFrom `json:"settings"`
}

type explainedImage struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// explainedHost is one that the run may reach.
type explainedHost struct {
	Host        string   `json:"host"`
	Why         string   `json:"why"`
	From        string   `json:"from,omitempty"`
	Credentials []string `json:"credentials,omitempty"`
	Missing     []string `json:"missing,omitempty"` // of them, those that are not in the vault
}

// explainedShare is what --home=share puts into HOME in the box.
type explainedShare struct {
	Path    string `json:"path"`
	Written bool   `json:"written"`
}

type explainedWalls struct {
	Box  string `json:"box"`
	Host string `json:"host"`
}

type explainedVault struct {
	Name  string `json:"name,omitempty"`
	State string `json:"state"`
}

type explainedEngine struct {
	Host  string `json:"host,omitempty"`
	State string `json:"state"`
}

// explain says what e.run would do. It opens no session and makes nothing.
func (e *env) explain(ctx context.Context, f runFlags, from origins, command []string) error {
	x, err := e.explained(ctx, f, from, command)
	if err != nil {
		return err
	}
	if f.json {
		return e.printJSON(x)
	}
	return e.printExplained(x)
}

func (e *env) explained(ctx context.Context, f runFlags, from origins, command []string) (x explained, err error) {
	// The same checks as of a run, so that what cannot be run is not explained.
	grant, list, err := f.grant()
	if err != nil {
		return x, err
	}
	if _, err := e.boxEnvironment(f.env); err != nil {
		return x, err
	}
	if f.isolation == "container" {
		if err := e.checkHandedOn(f.env); err != nil {
			return x, err
		}
	}
	// Where no command is named, an agent can still be.
	said := command
	if len(said) == 0 {
		said = []string{agents.Generic}
	}
	spec := runner.Spec{HostWalls: hostWalls[f.hostWalls]}
	if err := f.box.put(f.isolation, &spec); err != nil {
		return x, err
	}
	agent, err := f.agent.choose(e, f.isolation, f.image, said)
	if err != nil {
		return x, err
	}
	if err := f.box.putHome(e, agent, said[0], &spec); err != nil {
		return x, err
	}
	if err := f.workspaceFlags.fill(e, f.isolation, &spec); err != nil {
		return x, err
	}
	if _, err := f.publish.check(f.isolation); err != nil {
		return x, err
	}
	if _, err := e.wayOut(); err != nil {
		return x, err
	}
	if _, err := netiso.ParsePool(e.getenv(netiso.PoolVariable)); err != nil {
		return x, err
	}
	x = explained{Isolation: f.isolation, Unmatched: grant.Unmatched, Hosts: []explainedHost{}, Env: []valueFrom{}, Limits: map[string]string{}, Settings: shownSettings(from)}
	if len(command) > 0 {
		x.Command, x.Arguments = command[0], len(command)-1
	}
	if x.Folder, err = here(); err != nil {
		return x, err
	}
	x.Env = append(x.Env, x.Settings["env"]...)
	for _, s := range spec.Share {
		x.Shared = append(x.Shared, explainedShare{s.Source, !s.ReadOnly})
	}
	for _, l := range limitNames {
		x.Limits[l.name] = l.shown(orDefault(grant.Limits))
	}
	for host, size := range grant.Limits.HostMaxBytesOut {
		x.Limits[bytesOut+"@"+host] = policy.FormatSize(size)
	}
	x.grantedHosts(from, list)
	if agent.Name != agents.Generic {
		x.Agent = agent.Name
		hosts, err := allowed(agent)
		if err != nil {
			return x, err
		}
		for _, t := range hosts {
			x.Hosts = append(x.Hosts, explainedHost{Host: targetName(t), Why: "agent " + agent.Name})
		}
	}
	e.explainVault(ctx, &x, list, agent)
	if f.isolation == "container" {
		e.explainBox(ctx, &x, f)
	} else {
		x.Walls = explainedWalls{"none: the command is on the host, and nothing holds it", "none"}
	}
	return x, nil
}

// shownSettings are the settings without what may be a secret in them.
func shownSettings(from origins) map[string][]valueFrom {
	shown := map[string][]valueFrom{}
	for flag, values := range from {
		if fileRules[flag].refused != "" {
			continue // of the command line alone, and not of the run
		}
		shown[flag] = []valueFrom{}
		for _, v := range values {
			if fileRules[flag].secret {
				v.Value, _, _ = strings.Cut(v.Value, "=")
			}
			shown[flag] = append(shown[flag], v)
		}
	}
	return shown
}

// orDefault are the limits that hold: what is not set is as it is without being said.
func orDefault(l vault.Limits) vault.Limits {
	d := vault.DefaultLimits()
	for _, one := range limitNames {
		one.fill(&l, d)
	}
	return l
}

// grantedHosts are those that flags and files name.
func (x *explained) grantedHosts(from origins, list []catalog.Preset) {
	for _, v := range from["allow"] {
		x.Hosts = append(x.Hosts, explainedHost{Host: v.Value, Why: "allowed, without a credential", From: v.From})
	}
	for _, v := range from["host-service"] {
		name, at, _ := strings.Cut(v.Value, "=")
		x.Hosts = append(x.Hosts, explainedHost{Host: name + ".host", Why: "host service at " + at, From: v.From})
	}
	for i, p := range list {
		said := ""
		if i < len(from["preset"]) {
			said = from["preset"][i].From
		}
		for _, t := range p.Allow {
			x.Hosts = append(x.Hosts, explainedHost{Host: targetName(t), Why: "preset " + p.Name, From: said})
		}
	}
}

// explainVault adds what the vault knows, as far as it says that unopened.
func (e *env) explainVault(ctx context.Context, x *explained, list []catalog.Preset, agent agents.Agent) {
	o := e.vaultOptions()
	o.Vault = e.vault
	o.Password = func(context.Context) ([]byte, error) { return nil, errNotAsked }
	if vault.Absent(o) == nil {
		x.Vault.State = "there is none; `av init` makes one, and nothing runs without"
		return
	}
	v, err := vault.Open(ctx, o)
	if err == nil {
		err = errors.Join(x.readVault(ctx, v, list, agent), v.Close())
	}
	if err != nil {
		x.Vault.State = "cannot be read: " + err.Error()
	}
	x.Vault.Name = e.vault
}

func (x *explained) readVault(ctx context.Context, v *vault.Vault, list []catalog.Preset, agent agents.Agent) error {
	locked, err := v.NeedsPassword(ctx)
	if err != nil {
		return err
	}
	x.Vault.State = "open: no password seals it"
	if locked {
		x.Vault.State = "locked: the run asks for its master password, and only then looks whether services were tampered with"
	}
	services, err := v.Services(ctx, vault.Owner())
	if err != nil {
		return err
	}
	stored, err := v.Credentials(ctx, vault.Owner())
	if err != nil {
		return err
	}
	for _, s := range services {
		if s.Disabled {
			continue
		}
		h := explainedHost{Host: targetName(s.Target()), Why: "service " + s.Name, Credentials: s.Keys()}
		for _, key := range h.Credentials {
			if !slices.ContainsFunc(stored, func(c vault.Credential) bool { return c.Key == key }) {
				h.Missing = append(h.Missing, key)
			}
		}
		x.Hosts = append(x.Hosts, h)
	}
	for _, p := range list {
		x.Missing = append(x.Missing, notSetUp(p, services)...)
	}
	return x.equipped(agent, stored, services)
}

// equipped adds what a run lends its agent: services of the run alone, and variables.
func (x *explained) equipped(a agents.Agent, stored []vault.Credential, services []policy.Service) (err error) {
	if a.Name == agents.Generic {
		return nil
	}
	entries := map[string]catalog.Entry{}
	for _, s := range a.Credentials {
		if entries[s.Service], err = catalog.Find(s.Service); err != nil {
			return err
		}
	}
	fits := fit(a.Credentials, entries, stored, services)
	for _, s := range fits.services {
		x.Hosts = append(x.Hosts, explainedHost{Host: targetName(s.Target()), Why: "agent " + a.Name + ", for this run alone", Credentials: s.Keys()})
	}
	var spec runner.Spec
	equip(a, fits.slots, &spec)
	for _, kv := range spec.Env {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(x.Env, func(v valueFrom) bool { return v.Value == name }) {
			x.Env = append(x.Env, valueFrom{name, "agent " + a.Name})
		}
	}
	return nil
}

// explainTimeout is how long an engine is waited for that is only asked what it has.
const explainTimeout = 5 * time.Second

// explainBox adds what the engine and this machine say of a box.
func (e *env) explainBox(ctx context.Context, x *explained, f runFlags) {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	x.Image = explainedImage{f.image, "cannot be told without the engine"}
	if f.image == "" {
		x.Image = explainedImage{"av's base image", "built when it is first used"}
		if x.Agent != "" {
			x.Image.Name = "av's image of " + x.Agent
		}
	}
	eng, err := engine.Connect(ctx)
	reached := err == nil
	if err != nil {
		x.Engine.State, eng = "cannot be reached: "+err.Error(), nil
	} else {
		defer eng.Close()
		x.Engine = explainedEngine{eng.Host(), "answers"}
		if !eng.Local() {
			x.Engine.State = "is another machine's: a run there is refused"
		}
	}
	if reached && f.image != "" {
		switch _, err := eng.Image(ctx, f.image); {
		case err == nil:
			x.Image.State = "here"
		case errors.Is(err, engine.ErrNotFound):
			x.Image.State = "not here: pulled when the run begins"
		default:
			x.Image.State = "cannot be told: " + err.Error()
		}
	}
	x.Walls = f.linkFlags.explained(ctx, eng)
}

// explained are the walls that a box would get.
func (f linkFlags) explained(ctx context.Context, eng *engine.Engine) explainedWalls {
	if f.noFirewall {
		return explainedWalls{"none: --no-firewall, and nothing holds the command", "none: --no-firewall"}
	}
	w := explainedWalls{Box: "put up and proved before the command starts, or it does not start"}
	if eng == nil {
		w.Host = "cannot be told without the engine"
		return w
	}
	traits, err := eng.Traits(ctx)
	var relay runner.Relay
	if err == nil {
		relay, err = relays[f.relay].Chosen(hostWalls[f.hostWalls], traits)
	}
	switch {
	case err != nil:
		w.Host = "cannot be had: " + err.Error()
	case relay != runner.RelayBridge:
		w.Host = "none are needed: the box is on no network"
	case f.hostWalls == "off":
		w.Host = "none: --host-walls=off"
	case netiso.MayRaiseHostWalls():
		w.Host = "put up by av, which may change this host's rules"
	default:
		w.Host = "put up by a container of av's in the host's network"
		if f.hostWalls == "auto" {
			w.Host += "; if that cannot be, the run goes without"
		}
	}
	return w
}
