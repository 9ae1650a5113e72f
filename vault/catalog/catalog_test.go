package catalog_test

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

// filled is e with the examples for its parameters.
func filled(t *testing.T, e catalog.Entry) catalog.Entry {
	t.Helper()
	values := map[string]string{}
	for _, p := range e.Parameters {
		values[p.Name] = p.Example
	}
	full, err := e.With(values)
	if err != nil {
		t.Fatalf("%s: %v", e.Name, err)
	}
	return full
}

func hint(err error) string {
	if hinted, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return hinted.Hint()
	}
	return ""
}

func TestThereAreManyServicesInOrderAndNoNameIsTakenTwice(t *testing.T) {
	entries := catalog.Search("")
	if len(entries) < 75 {
		t.Errorf("%d entries", len(entries))
	}
	for i := range entries[1:] {
		if a, b := entries[i].Name, entries[i+1].Name; a >= b {
			t.Errorf("%q stands before %q", a, b)
		}
	}
	// All services of all entries in one vault: their names must not collide either.
	owner := map[string]string{}
	for _, e := range entries {
		for _, s := range e.Services {
			if other, taken := owner[s.Name]; taken {
				t.Errorf("%s and %s both have a service %q", other, e.Name, s.Name)
			}
			owner[s.Name] = e.Name
		}
		if e.Services[0].Name != e.Name {
			t.Errorf("%s: its first service is %q", e.Name, e.Services[0].Name)
		}
	}
}

func TestEveryEntryBecomesServicesThatAVaultTakes(t *testing.T) {
	for _, e := range catalog.Search("") {
		full := filled(t, e)
		for what, services := range map[string][]policy.Service{"services": full.Services, "read-only": full.ReadOnly} {
			if err := policy.Validate(services); err != nil {
				t.Errorf("%s: %s: %v", e.Name, what, err)
			}
			if _, err := policy.Compile(services, nil, policy.Deny); err != nil {
				t.Errorf("%s: %s: %v", e.Name, what, err)
			}
		}
		if len(full.Parameters) != 0 {
			t.Errorf("%s: still has parameters", e.Name)
		}
	}
}

// Who adds everything has a vault that opens. claude-code is for who has no API key.
func TestAllOfTheCatalogFitsIntoOneVault(t *testing.T) {
	var services []policy.Service
	for _, e := range catalog.Search("") {
		if e.Name != "claude-code" {
			services = append(services, filled(t, e).Services...)
		}
	}
	compile(t, services)
	src, err := policy.Marshal(services)
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.Parse("services.yaml", src, nil)
	if err != nil || !slices.EqualFunc(services, again, policy.Service.Equal) {
		t.Errorf("the services file that lists them is not read back: %v", err)
	}
}

// The catalog is read by people who paste from it.
func TestEveryEntrySaysWhatPeopleNeedToKnow(t *testing.T) {
	slug := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	variable := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	for _, e := range catalog.Search("") {
		if !slug.MatchString(e.Name) || e.Title == "" || e.Category == "" || strings.Contains(e.Title+e.Note, "\n") {
			t.Errorf("%s: name, title %q, category %q or note %q", e.Name, e.Title, e.Category, e.Note)
		}
		full := filled(t, e)
		if address, err := url.Parse(full.KeyURL); len(e.Credentials) > 0 &&
			(err != nil || address.Scheme != "https" || address.Host == "" || address.User != nil) {
			t.Errorf("%s: %q is not where to get a key", e.Name, full.KeyURL)
		}
		for _, c := range e.Credentials {
			if !policy.ValidKey(c.Key) || len(c.Env) == 0 || slices.ContainsFunc(c.Env, func(v string) bool { return !variable.MatchString(v) }) {
				t.Errorf("%s: credential %+v", e.Name, c)
			}
		}
		for _, s := range slices.Concat(e.Services, e.ReadOnly) {
			if s.Disabled || s.Upstream != (policy.Upstream{}) {
				t.Errorf("%s: service %+v", e.Name, s)
			}
		}
	}
}

func TestEveryCredentialIsUsedAndBoundToItsServicesHostsAlone(t *testing.T) {
	owner := map[string]string{}
	for _, e := range catalog.Search("") {
		full := filled(t, e)
		used := map[string][]string{}
		for _, s := range slices.Concat(full.Services, full.ReadOnly) {
			for _, key := range s.Keys() {
				used[key] = append(used[key], s.Host)
			}
		}
		for _, c := range full.Credentials {
			// Two entries with one key would take each other's bindings away.
			if other, taken := owner[c.Key]; taken {
				t.Errorf("%s and %s both have %s", other, e.Name, c.Key)
			}
			owner[c.Key] = e.Name
			for _, host := range used[c.Key] {
				if !slices.ContainsFunc(c.Hosts, func(binding string) bool { return policy.Within(host, binding) }) {
					t.Errorf("%s: %s goes to %s and is not bound to it", e.Name, c.Key, host)
				}
			}
			for _, binding := range c.Hosts {
				if !slices.ContainsFunc(used[c.Key], func(host string) bool { return policy.Within(binding, host) }) {
					t.Errorf("%s: %s is bound to %s and no service sends it there", e.Name, c.Key, binding)
				}
				if canonical, err := policy.ParseHostPattern(binding); err != nil || canonical != binding {
					t.Errorf("%s: %s is bound to %q, which is no binding: %q, %v", e.Name, c.Key, binding, canonical, err)
				}
			}
			delete(used, c.Key)
		}
		for key := range used {
			t.Errorf("%s: services need %s, which is not declared", e.Name, key)
		}
	}
}

// A key that goes into the path or the query needs the placeholder in the client's place for it.
func TestPlaceholderThatANoteNamesIsTheServices(t *testing.T) {
	named := 0
	for _, e := range catalog.Search("") {
		for _, placeholder := range regexp.MustCompile(`__[a-z_]+__`).FindAllString(e.Note, -1) {
			if placeholder == "__token__" { // PyPI's own word for "the password is a token"
				continue
			}
			named++
			if !slices.ContainsFunc(e.Services, func(s policy.Service) bool {
				return slices.ContainsFunc(s.Substitutions, func(sub policy.Substitution) bool { return sub.Placeholder == placeholder })
			}) {
				t.Errorf("%s: no service knows %s", e.Name, placeholder)
			}
		}
	}
	if named < 5 {
		t.Errorf("%d notes name a placeholder", named)
	}
}

// Git asks for what it fetches with a POST, to a path of its own; that one reads.
func TestReadOnlyVariantOnlyReads(t *testing.T) {
	variants := 0
	for _, e := range catalog.Search("") {
		if e.ReadOnly != nil {
			variants++
		}
		for _, s := range e.ReadOnly {
			fetches := slices.Equal(s.Methods, []string{"POST"}) && s.Path == "/*/git-upload-pack"
			if !fetches && (len(s.Methods) == 0 || slices.ContainsFunc(s.Methods, func(m string) bool {
				return m != "GET" && m != "HEAD" && m != "OPTIONS"
			})) {
				t.Errorf("%s: %s has methods %v", e.Name, s.Name, s.Methods)
			}
			if !slices.ContainsFunc(e.Services, func(full policy.Service) bool { return full.Name == s.Name && full.Host == s.Host || fetches }) {
				t.Errorf("%s: %s is no service of the whole variant", e.Name, s.Name)
			}
		}
	}
	if variants < 40 {
		t.Errorf("%d entries have a read-only variant", variants)
	}
}

func TestReadOnlyGitHubCanFetchAndCannotPush(t *testing.T) {
	e, err := catalog.Find("github")
	if err != nil {
		t.Fatal(err)
	}
	whole, readOnly := compile(t, e.Services), compile(t, e.ReadOnly)
	for _, c := range []struct {
		host, method, path string
		whole, readOnly    bool
	}{
		{"github.com", "GET", "/o/r.git/info/refs", true, true},
		{"github.com", "POST", "/o/r.git/git-upload-pack", true, true},
		{"github.com", "POST", "/o/r.git/git-receive-pack", true, false},
		{"github.com", "POST", "/session", false, false},
		{"api.github.com", "GET", "/repos/o/r", true, true},
		{"api.github.com", "POST", "/repos/o/r/issues", true, false},
		{"uploads.github.com", "POST", "/repos/o/r/releases/1/assets", true, false},
		{"gist.github.com", "GET", "/", false, false},
	} {
		target := policy.Target{Host: c.host, Port: policy.DefaultPort}
		if got := whole.Decide(target, c.method, c.path).Allow; got != c.whole {
			t.Errorf("%s %s%s: %v", c.method, c.host, c.path, got)
		}
		if got := readOnly.Decide(target, c.method, c.path).Allow; got != c.readOnly {
			t.Errorf("read-only: %s %s%s: %v", c.method, c.host, c.path, got)
		}
	}
}

func TestGitHubTokenGoesToGitAndNotToItsPages(t *testing.T) {
	e, err := catalog.Find("github")
	if err != nil {
		t.Fatal(err)
	}
	set := compile(t, e.Services)
	for path, want := range map[string]policy.AuthType{"/o/r/info/refs": policy.Basic, "/o/r/releases": policy.Passthrough} {
		v := set.Decide(policy.Target{Host: "github.com", Port: policy.DefaultPort}, "GET", path)
		if v.Service == nil || v.Service.Auth.Type != want {
			t.Errorf("%s: %+v", path, v)
		}
	}
}

func compile(t *testing.T, services []policy.Service) *policy.Set {
	t.Helper()
	set, err := policy.Compile(services, nil, policy.Deny)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
