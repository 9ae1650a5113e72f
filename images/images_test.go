package images

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/netiso/engine"
)

func TestOnlyImagesOfAvsThatNothingNeedsAreStale(t *testing.T) {
	of := func(name string, tags ...string) engine.ImageInfo {
		return engine.ImageInfo{ID: "id of " + tags[0], Tags: tags, Labels: map[string]string{label: name}, Made: time.Unix(1, 0)}
	}
	list := judge([]engine.ImageInfo{
		of("av-gate", "av-gate:now"), of("av-gate", "av-gate:old"), of("av-gate", "av-gate:running"),
		of("av-agent-claude", "av-agent-claude:old", "corp/claude:1"), of("av-agent-claude", "av-agent-claude:now"),
		of("av-agent-yours", "av-agent-yours:old"), // of an agent that another home describes
		of("av-base", "my-image:1"),                // built on av's base, and it inherits the label
		of("av-test-attacker", "av-test-attacker:1"),
		of("av-gate", "<none>:<none>"),
	}, map[string]bool{"id of av-gate:running": true},
		map[string]string{"av-gate": "av-gate:now", "av-base": "av-base:now", "av-agent-claude": "av-agent-claude:now"})
	var stale, all []string
	for _, b := range list {
		all = append(all, b.Image)
		if b.stale() {
			stale = append(stale, b.Image)
		}
	}
	if diff := cmp.Diff([]string{"av-agent-claude:old", "av-gate:old"}, stale); diff != "" {
		t.Error(diff)
	}
	if slices.Contains(all, "my-image:1") || slices.Contains(all, "corp/claude:1") || slices.Contains(all, "av-test-attacker:1") || len(all) != 6 {
		t.Errorf("listed are %q", all)
	}
}

func TestTagOfAnAgentFollowsFromItsRecipeAlone(t *testing.T) {
	a := Recipe{Name: "x", NPM: []string{"x@1.0.0"}}
	if again := a; again.Tag() != a.Tag() || !strings.HasPrefix(a.Tag(), "av-agent-x:") {
		t.Error(a.Tag())
	}
	for _, other := range []Recipe{{Name: "x", NPM: []string{"x@1.0.1"}}, {Name: "x", Debian: []string{"x@1.0.0"}}, {Name: "y", NPM: []string{"x@1.0.0"}}, {Name: "x", Archive: []string{"x@1.0.0"}}} {
		if other.Tag() == a.Tag() {
			t.Errorf("%+v has the same", other)
		}
	}
	p := a.plan(Site{CA: []byte("ca"), Args: map[string]string{"npm_config_registry": "https://r.test", "HTTP_PROXY": "http://p.test"}},
		Choice{From: "corp/debian", Args: map[string]string{"HTTP_PROXY": "http://mine.test"}})
	want := map[string]string{"npm_config_registry": "https://r.test", "HTTP_PROXY": "http://mine.test", "FROM": "corp/debian", "NPM": "x@1.0.0", "DEBIAN": "", "PIP": "", "ARCHIVE": "", "PROGRAMS": ""}
	if diff := cmp.Diff(want, p.args); diff != "" {
		t.Error(diff)
	}
	var out bytes.Buffer
	if err := p.pack(&out); err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if diff := cmp.Diff([]string{"Dockerfile", "build/ca.pem", "build/install.sh"}, names); diff != "" {
		t.Error(diff)
	}
}

// siteOf is a host with these files below its home, and these variables.
func siteOf(t *testing.T, files, env map[string]string) Site {
	t.Helper()
	home := t.TempDir()
	for name, text := range files {
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, "$HOME", home)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return FindSite(func(name string) string {
		if name == "HOME" {
			return home
		}
		return strings.ReplaceAll(env[name], "$HOME", home)
	})
}

func certificate(text string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(text)}))
}

func TestBuildIsHandedWhatTheHostTrustsAndNoKey(t *testing.T) {
	corp, other, key := certificate("corp"), certificate("other"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}))
	ca := string(siteOf(t, map[string]string{
		"corp.pem": key + corp, "other.pem": "# Other\n" + other + corp, ".npmrc": "cafile = \"$HOME/other.pem\"\n",
	}, map[string]string{"SSL_CERT_FILE": "$HOME/corp.pem", "CURL_CA_BUNDLE": "$HOME/missing.pem"}).CA)
	if strings.Count(ca, corp) != 1 || strings.Count(ca, other) != 1 || strings.Contains(ca, "PRIVATE") {
		t.Errorf("got\n%s", ca)
	}
}

func TestBuildIsHandedTheHostsRegistryAndProxiesAndNoPassword(t *testing.T) {
	s := siteOf(t, map[string]string{
		".npmrc":              "//r.corp.test/:_authToken=t0ken\nregistry=https://r.corp.test/npm/\n",
		".docker/config.json": `{"auths":{"r.test":{"auth":"x"}},"proxies":{"default":{"httpsProxy":"http://p.corp.test:3128","noProxy":"corp.test"}}}`,
	}, map[string]string{"PIP_INDEX_URL": "https://user:s3cret@pip.corp.test/simple", "HTTP_PROXY": "http://mine.test"})
	want := map[string]string{"npm_config_registry": "https://r.corp.test/npm/", "HTTPS_PROXY": "http://p.corp.test:3128", "https_proxy": "http://p.corp.test:3128",
		"NO_PROXY": "corp.test", "no_proxy": "corp.test"}
	if diff := cmp.Diff(want, s.Args); diff != "" {
		t.Error(diff)
	}
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "PIP_INDEX_URL holds a password") || strings.Contains(s.Notes[0], "s3cret") {
		t.Errorf("it says %q", s.Notes)
	}
	if diff := cmp.Diff([]string{"HTTPS_PROXY", "NO_PROXY", "https_proxy", "no_proxy"}, keys(s.proxies())); diff != "" {
		t.Error(diff)
	}
}

func keys(m map[string]string) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func TestFileOfAuthoritiesIsReadUpToItsCeiling(t *testing.T) {
	corp := certificate("corp")
	for size, read := range map[int]bool{maxAuthorities: true, maxAuthorities + 1: false} {
		ca := string(siteOf(t, map[string]string{"ca.pem": corp + strings.Repeat("#", size-len(corp))}, map[string]string{"SSL_CERT_FILE": "$HOME/ca.pem"}).CA)
		if strings.Contains(ca, corp) != read {
			t.Errorf("of %d bytes: %v", size, !read)
		}
	}
}
