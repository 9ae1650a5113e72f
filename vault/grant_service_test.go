package vault_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func TestServiceOfASessionIsJudgedAndServedByTheOneList(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "KEY", "s3cret")
	grant := vault.Grant{Run: "r", Services: []policy.Service{bearer("own", "api.test", "KEY")}}
	s, opened := openSession(t, v, grant)
	other, _ := openSession(t, v, vault.Grant{Run: "other"})
	target := policy.Target{Host: "api.test", Port: 443}
	if verdict := s.Policy().Reach(target); !verdict.Allow || !s.Policy().Uses("KEY") {
		t.Errorf("got %+v", verdict)
	}
	if value, err := s.Credential(t.Context(), "KEY", "api.test"); err != nil || string(value.Open()) != "s3cret" {
		t.Errorf("got %v", err)
	}
	// Control: a session that was not given it has neither the way nor the credential.
	if other.Policy().Reach(target).Allow || other.Policy().Uses("KEY") {
		t.Error("it is every session's")
	}
	if _, err := other.Credential(t.Context(), "KEY", "api.test"); !errors.Is(err, vault.ErrNoCredential) {
		t.Errorf("got %v", err)
	}
	// Whoever reads the session from the file has the same.
	again, err := openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open()))
	if err != nil || !again.Policy().Reach(target).Allow || !again.Policy().Uses("KEY") {
		t.Errorf("another process: %v", err)
	}
	// What a credential is bound to holds for it, too.
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "KEY", Hosts: []string{"elsewhere.test"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Credential(t.Context(), "KEY", "api.test"); !errors.Is(err, vault.ErrBound) {
		t.Errorf("bound elsewhere: %v", err)
	}
}

func TestVaultHasTheLastWordOnAHostThatASessionBringsAServiceFor(t *testing.T) {
	for name, its := range map[string]policy.Service{
		"the same host":          bearer("its", "api.test", "OTHER"),
		"a wildcard":             bearer("its", "*.corp.test", "OTHER"),
		"a part of it":           {Name: "its", Host: "api.test", Path: "/v1/*", Auth: policy.Auth{Type: policy.Bearer, Token: "OTHER"}},
		"the same name":          bearer("own", "elsewhere.test", "OTHER"),
		"one that is turned off": {Name: "its", Host: "api.test", Disabled: true, Auth: policy.Auth{Type: policy.Bearer, Token: "OTHER"}},
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := newVault(t, newClock())
			set(t, v, "KEY", "1")
			set(t, v, "OTHER", "2")
			s, _ := openSession(t, v, vault.Grant{Services: []policy.Service{bearer("own", "api.test", "KEY")}})
			if !s.Policy().Uses("KEY") {
				t.Fatal("control: it does not use the key before")
			}
			if name == "a wildcard" {
				s, _ = openSession(t, v, vault.Grant{Services: []policy.Service{bearer("own", "api.corp.test", "KEY")}})
			}
			if err := v.SetServices(t.Context(), owner, []policy.Service{its}); err != nil {
				t.Fatal(err)
			}
			if s.Policy().Uses("KEY") {
				t.Error("the session's service is still in force")
			}
			// And comes back when the vault has no word on it any more.
			if err := v.SetServices(t.Context(), owner, nil); err != nil {
				t.Fatal(err)
			}
			if !s.Policy().Uses("KEY") {
				t.Error("it does not come back")
			}
		})
	}
}

func TestSessionBringsNoServiceThatNamesWhereToDialOrCannotBe(t *testing.T) {
	v, _ := newVault(t, newClock())
	sound := bearer("own", "api.test", "KEY")
	for name, change := range map[string]func(*policy.Service){
		"an address": func(s *policy.Service) { s.Upstream.Address = netip.MustParseAddrPort("10.0.0.1:443") },
		"a CA":       func(s *policy.Service) { s.Upstream.CA = "x" },
		"off":        func(s *policy.Service) { s.Disabled = true },
		"everything": func(s *policy.Service) { s.Host = "*" },
		"a bad host": func(s *policy.Service) { s.Host = "API.test" },
	} {
		bad := sound
		change(&bad)
		if _, err := v.OpenSession(t.Context(), owner, vault.Grant{Services: []policy.Service{bad}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := v.OpenSession(t.Context(), owner, vault.Grant{Services: []policy.Service{sound}}); err != nil {
		t.Errorf("control: %v", err)
	}
	if _, err := v.OpenSession(t.Context(), owner, vault.Grant{Services: []policy.Service{sound, bearer("two", "api.test", "KEY")}}); err == nil {
		t.Error("two for one host are taken")
	}
}
