package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/images/agents"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

func TestVaultFillsTheSlotsOfAnAgent(t *testing.T) {
	apiKey := policy.Service{Name: "mine", Host: "api.anthropic.com", Auth: policy.Auth{Type: policy.APIKey, Key: "CORP_KEY", Header: "X-API-Key"}}
	bearer := policy.Service{Name: "mine", Host: "*.anthropic.com", Auth: policy.Auth{Type: policy.Bearer, Token: "CORP_TOKEN"}}
	off := apiKey
	off.Disabled = true
	elsewhere := policy.Service{Name: "anthropic", Host: "gateway.corp.test", Auth: policy.Auth{Type: policy.Bearer, Token: "CORP_TOKEN"}}
	key := func(name string, change ...func(*vault.Credential)) vault.Credential {
		c := vault.Credential{Key: name}
		for _, f := range change {
			f(&c)
		}
		return c
	}
	used := func(c *vault.Credential) { c.UsedBy = []string{"gateway"} }
	bound := func(hosts ...string) func(*vault.Credential) { return func(c *vault.Credential) { c.Hosts = hosts } }
	both := []string{"anthropic", "claude-code"}
	for name, c := range map[string]struct {
		slots       []string
		credentials []vault.Credential
		services    []policy.Service
		filled      []string
		lent        []string
		says        string
	}{
		"nothing":                           {both, nil, nil, nil, nil, "the vault has no credential"},
		"a key and no service":              {both, []vault.Credential{key("ANTHROPIC_API_KEY")}, nil, []string{"anthropic"}, []string{"anthropic"}, "ANTHROPIC_API_KEY goes to api.anthropic.com in this run"},
		"a token and no service":            {both, []vault.Credential{key("CLAUDE_CODE_OAUTH_TOKEN")}, nil, []string{"claude-code"}, []string{"claude-code"}, "CLAUDE_CODE_OAUTH_TOKEN goes to"},
		"both: the first for the host":      {both, []vault.Credential{key("CLAUDE_CODE_OAUTH_TOKEN"), key("ANTHROPIC_API_KEY")}, nil, []string{"anthropic"}, []string{"anthropic"}, ""},
		"a service with a key":              {both, []vault.Credential{key("CORP_KEY")}, []policy.Service{apiKey}, []string{"anthropic"}, nil, ""},
		"a service with a token":            {both, []vault.Credential{key("ANTHROPIC_API_KEY")}, []policy.Service{bearer}, []string{"claude-code"}, nil, ""},
		"one that is off":                   {both, []vault.Credential{key("ANTHROPIC_API_KEY")}, []policy.Service{off}, nil, nil, "the vault's service mine is for api.anthropic.com"},
		"one of that name":                  {both, []vault.Credential{key("ANTHROPIC_API_KEY")}, []policy.Service{elsewhere}, nil, nil, "the vault's service anthropic is for"},
		"a key that a service uses":         {both, []vault.Credential{key("ANTHROPIC_API_KEY", used)}, nil, nil, nil, "is used by the service gateway"},
		"a key that is bound elsewhere":     {both, []vault.Credential{key("ANTHROPIC_API_KEY", bound("gateway.corp.test"))}, nil, nil, nil, "is bound to gateway.corp.test"},
		"a key that is bound to the vendor": {both, []vault.Credential{key("ANTHROPIC_API_KEY", bound("api.anthropic.com"))}, nil, []string{"anthropic"}, []string{"anthropic"}, ""},
		"two vendors": {[]string{"openai", "anthropic", "gemini"}, []vault.Credential{key("OPENAI_API_KEY"), key("CORP_KEY")}, []policy.Service{apiKey},
			[]string{"anthropic", "openai"}, []string{"openai"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			entries := map[string]catalog.Entry{}
			a := agents.Agent{Title: "Agent"}
			for _, s := range c.slots {
				e, err := catalog.Find(s)
				if err != nil {
					t.Fatal(err)
				}
				entries[s] = e
				a.Credentials = append(a.Credentials, agents.Slot{Service: s})
			}
			f := fit(a.Credentials, entries, c.credentials, c.services)
			var filled []string
			for _, s := range f.slots {
				filled = append(filled, s.Service)
			}
			if !slices.Equal(filled, c.filled) || !slices.Equal(f.lent, c.lent) || len(f.services) != len(c.lent) {
				t.Errorf("filled %q, lent %q", filled, f.lent)
			}
			if said := strings.Join(f.say(a, entries), "\n"); !strings.Contains(said, c.says) || c.says == "" && c.lent == nil && said != "" {
				t.Errorf("it says %q", said)
			}
		})
	}
}

func TestWhatTheUserSetsGoesBeforeWhatAnAgentWants(t *testing.T) {
	a := agents.Agent{Name: "x", Env: map[string]string{"UPDATES": "off", "A": "1"}, Files: []agents.File{{Path: ".x", Content: "y"}}, Install: agents.Install{NPM: []string{"x@1.0.0"}}}
	slot := agents.Slot{Env: map[string]string{"KEY": "stand-in"}, Files: []agents.File{{Path: ".key", Content: "stand-in"}}}
	spec := runner.Spec{Env: []string{"UPDATES=on", "B=2"}}
	equip(a, []agents.Slot{slot}, &spec)
	if diff := cmp.Diff([]string{"A=1", "KEY=stand-in", "UPDATES=on", "B=2"}, spec.Env); diff != "" {
		t.Error(diff)
	}
	if len(spec.HomeFiles) != 2 || spec.HomeFiles[1].Path != ".key" {
		t.Errorf("%+v", spec.HomeFiles)
	}
}

func TestEveryAgentThatAvHasFitsTheCatalog(t *testing.T) {
	e := &env{home: t.TempDir()}
	set, err := e.agents()
	if err != nil || len(set) == 0 {
		t.Fatal(set, err)
	}
	for _, a := range set {
		if err := checkAgent(a); err != nil {
			t.Error(err)
		}
	}
}
