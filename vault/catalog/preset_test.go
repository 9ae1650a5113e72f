package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

func TestPresetsAreTheOnesThatAreDocumented(t *testing.T) {
	want := []string{"claude", "codex", "copilot", "crates", "debian", "dockerhub", "gemini", "github", "gitlab", "go", "npm", "opencode", "pypi"}
	var got []string
	for _, p := range catalog.Presets() {
		got = append(got, p.Name)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v", got)
	}
}

func TestEveryPresetNamesEntriesAndHostsThatCompile(t *testing.T) {
	for _, p := range catalog.Presets() {
		var services []policy.Service
		for _, name := range p.Services {
			e, err := catalog.Find(name)
			if err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
			// A preset is one word: there is no place to write a tenant.
			if len(e.Parameters) != 0 {
				t.Errorf("%s: %s has parameters", p.Name, name)
			}
			services = append(services, e.Services...)
		}
		if len(p.Services)+len(p.Allow) == 0 || p.Title == "" {
			t.Errorf("%s is empty", p.Name)
		}
		set, err := policy.Compile(services, p.Allow, policy.Deny)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		for _, target := range p.Allow {
			if v := set.Decide(target, "GET", "/"); !v.Allow || v.Service != nil {
				t.Errorf("%s: %s: %+v, want an allowance that no service covers", p.Name, target, v)
			}
		}
	}
}

// Whoever may write to such a host has a way to carry data out of the box.
func TestPresetsAllowNoHostOnWhichAnybodyHasABucket(t *testing.T) {
	for _, p := range catalog.Presets() {
		for _, target := range p.Allow {
			for _, open := range []string{"storage.googleapis.com", ".amazonaws.com", ".blob.core.windows.net", ".r2.dev", "gist.github.com", "gist.githubusercontent.com", ".github.io", ".workers.dev"} {
				if strings.HasSuffix(target.Host, open) {
					t.Errorf("%s allows %s", p.Name, target)
				}
			}
		}
	}
}

func TestDebianIsReachedOverPlainHTTPToo(t *testing.T) {
	p, err := catalog.FindPreset("debian")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []policy.Target{{Host: "deb.debian.org", Port: 80}, {Host: "deb.debian.org", Port: 443}} {
		if !slices.Contains(p.Allow, want) {
			t.Errorf("%v is missing from %v", want, p.Allow)
		}
	}
}

func TestPresetThatIsNotThereListsThoseThatAre(t *testing.T) {
	_, err := catalog.FindPreset("cluade")
	if err == nil || err.Error() != `there is no preset "cluade" in the catalog` ||
		!strings.HasPrefix(hint(err), "did you mean claude? there are claude, codex,") {
		t.Errorf("%v, hint %q", err, hint(err))
	}
}
