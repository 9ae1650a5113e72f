package catalog_test

import (
	"strings"
	"testing"

	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

func TestParameterThatIsNotFilledIsRefusedWithAnExample(t *testing.T) {
	asked := 0
	for _, e := range catalog.Search("") {
		if len(e.Parameters) == 0 {
			continue
		}
		asked++
		name, example := e.Parameters[0].Name, e.Parameters[0].Example
		for _, values := range []map[string]string{nil, {name: ""}} {
			_, err := e.With(values)
			if err == nil || !strings.Contains(err.Error(), "service "+e.Name+" wants its parameter") || !strings.Contains(hint(err), name+"="+example) {
				t.Errorf("%s: %v, hint %q", e.Name, err, hint(err))
			}
		}
		// And what was left unfilled gets into no vault by another way.
		if err := policy.Validate(e.Services); err == nil {
			t.Errorf("%s: its services are taken with {%s} in them", e.Name, name)
		}
		full := filled(t, e)
		text := full.KeyURL + full.Note
		for _, s := range full.Services {
			text += s.Host
		}
		for _, c := range full.Credentials {
			text += strings.Join(c.Hosts, "")
		}
		if strings.ContainsAny(text, "{}") || !strings.Contains(text, example) {
			t.Errorf("%s: %s", e.Name, text)
		}
	}
	if asked < 5 {
		t.Errorf("%d entries have parameters", asked)
	}
}

func TestParameterIsOneLabelAndNothingThatMovesTheCredential(t *testing.T) {
	jira, err := catalog.Find("jira")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"evil.test/", "evil.test#", "evil.test?", "a.b", "*", "a b", "-a", "a-", "{tenant}", "a@b", "a:443",
		"é", "a\n", "evil.test\x00", strings.Repeat("a", 64), "a\"", "."} {
		if e, err := jira.With(map[string]string{"tenant": value}); err == nil || hint(err) == "" {
			t.Errorf("%q: %+v, %v", value, e.Services, err)
		}
	}
	e, err := jira.With(map[string]string{"tenant": "Acme-1"})
	if err != nil || e.Services[0].Host != "acme-1.atlassian.net" || e.Credentials[0].Hosts[0] != "acme-1.atlassian.net" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestParameterThatIsAWholeHostIsACanonicalHost(t *testing.T) {
	gitea, err := catalog.Find("gitea")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"https://git.test", "git.test/x", "*.git.test", "a b", "127.1", "git.test:0"} {
		if e, err := gitea.With(map[string]string{"host": value}); err == nil || hint(err) == "" {
			t.Errorf("%q: %+v, %v", value, e.Services, err)
		}
	}
	for value, want := range map[string]policy.Target{
		"Git.Test":      {Host: "git.test", Port: 443},
		"git.test:443":  {Host: "git.test", Port: 443},
		"git.test:3000": {Host: "git.test", Port: 3000},
	} {
		e, err := gitea.With(map[string]string{"host": value})
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		for _, s := range append(e.Services, e.ReadOnly...) {
			if s.Target() != want {
				t.Errorf("%q: %s is for %v", value, s.Name, s.Target())
			}
		}
	}
}

func TestParameterThatAnEntryDoesNotHaveIsRefused(t *testing.T) {
	for name, want := range map[string]string{"openai": "the same for everybody", "jira": "tenant=acme"} {
		e, err := catalog.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.With(map[string]string{"region": "eu"})
		if err == nil || !strings.Contains(err.Error(), `no parameter "region"`) || !strings.Contains(hint(err), want) {
			t.Errorf("%s: %v, hint %q", name, err, hint(err))
		}
	}
}

func TestFillingLeavesTheCatalogAsItWas(t *testing.T) {
	before, _ := catalog.Find("zendesk")
	full := filled(t, before)
	full.Services[0].Host, full.Services[0].Auth.Username, full.Credentials[0].Hosts[0] = "changed", "CHANGED", "changed"
	full.Credentials[0].Env[0], full.ReadOnly[0].Methods[0] = "CHANGED", "CHANGED"
	after, _ := catalog.Find("zendesk")
	if !after.Services[0].Equal(before.Services[0]) || after.Services[0].Host != "{tenant}.zendesk.com" ||
		after.Credentials[0].Env[0] == "CHANGED" || after.ReadOnly[0].Methods[0] != "GET" {
		t.Errorf("%+v", after)
	}

	telegram, _ := catalog.Find("telegram")
	filled(t, telegram).Services[0].Substitutions[0].In[0] = policy.InBody
	planetscale, _ := catalog.Find("planetscale")
	filled(t, planetscale).Services[0].Auth.Headers[0].Name = "changed"
	again, _ := catalog.Find("telegram")
	headers, _ := catalog.Find("planetscale")
	if again.Services[0].Substitutions[0].In[0] != policy.InPath || headers.Services[0].Auth.Headers[0].Name != "Authorization" {
		t.Errorf("%+v, %+v", again, headers)
	}
}
