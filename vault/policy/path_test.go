package policy_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

var web = policy.Target{Host: "a.test", Port: 443}

func compiled(t testing.TB, services ...policy.Service) *policy.Set {
	t.Helper()
	set, err := policy.Compile(services, nil, policy.Deny)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// C12 of the attack list. The one service covers /api/* alone.
func TestPathIsAllowedOnlyIfEveryServerReadsItWithinTheRule(t *testing.T) {
	set := compiled(t, bearer("a", "a.test", "/api/*", "KEY"))
	for _, p := range []string{
		// controls: what is plainly inside, in any spelling that stays there
		"/api/", "/api/x", "/api/x/y.z", "/api/.hidden", "/api/...", "/api/x..", "/api/a%20b", "/api/%C3%BC", "/api/ü",
		"/api/x%2Fy", "/api/@scope%2fname", "/api/x/../y", "/api/./x", "/api/x//y", "/api/x;v=1/y", "/api/x;y", "/api/100%25",
		"/api/%2e", "/api/x%20", "/api/a.%20b/c.", "/api/%20/x", "/api/100%25ugly", "/api/x/%2e%2e/y", "/api/x%5Cy", `/api/x\y`, "/api/what%3F", "/api/c%23", "/api/%2520", "/api/*", "/api/{x}",
		"/api/" + strings.Repeat("x", 100_000),
	} {
		if v := set.Decide(web, "GET", p); !v.Allow || v.Service == nil || v.Rule != "service a" || v.Hint != "" {
			t.Errorf("%.80q: %+v", p, v)
		}
	}
	for _, p := range []string{
		"", "/", "*", "api/x", "/api", "/apix", "/API/x", "/other", "//api/x", "/x/api/y", "a.test/api/x", "http://a.test/api/x",
		// dot segments, as they are and encoded
		"/api/..", "/api/../", "/api/../x", "/api/x/../..", "/api/x/../../y", "/api/.././x", "/../api/../x", "/x/../api/y", "/./api/x",
		"/api/%2e%2e/x", "/api/%2E%2E/x", "/api/.%2e/x", "/api/%2e./x", "/api/%2E%2e", "/api/x/%2e%2e/%2e%2e/y",
		// encoded separators
		"/api/..%2fx", "/api/..%2Fx", "/api%2f..%2fx", "/api/%2e%2e%2fx", "/api/x%2f..%2f..%2fy", "/api%2Fx", "/%61pi/x", "/api%2fx/../y",
		// Windows' separators
		`/api/..\x`, `/api\..\x`, "/api/..%5Cx", "/api/%2e%2e%5cx", `\api\x`, `/api/x\..\..\y`,
		// parameters, before and after decoding
		"/api/..;/x", "/api/..;v=1/x", "/api/;x/../../y", "/;x/api/y", "/;/api/x", "/api;x/y", "/api/..%3Bv/x", "/api/..%3B%2fx", "/api/x;/../..;a/y",
		// empty segments: /api//../x is /x for who merges slashes first
		"/api//../x", "/api///../../x", "//x/api/y", "/api%2f/../x",
		// an encoded slash that is a slash to one and none to the other
		"/api/x%2fy/../../z", "/api/x%2fy/%2e%2e/%2e%2e/z", "/api%2Fx/%2e%2e/y", "/api/a%2Fb/..%3B/../x",
		// encoded twice: what is behind a proxy that decodes decodes again
		"/api/%252e%252e/x", "/api/%252E%252E%252Fx", "/api/..%252fx", "/api/..%255cx", "/api/%252e%252e;/x", "/api%252Fx/%252e%252e/y",
		// three times, and more
		"/api/%25252e", "/api/%2525252e%2525252e/x",
		// dots and slashes in longer UTF-8, and bytes that are none
		"/api/%c0%ae%c0%ae/x", "/api/%c0%afx", "/api/%e0%80%ae%e0%80%ae/x", "/api/%f0%80%80%ae/x", "/api/%c1%9cx", "/api/%ff", "/api/%FC", "/api/\xff",
		"/api/%252e%252e%c0%af", "/api/%25c0%25ae",
		// lookalikes that some fold
		"/api/%EF%BC%8E%EF%BC%8E/x", "/api/x%EF%BC%8Fy", "/api/%E2%80%A5/x",
		"/api/x/..%EF%BC%9Fy", "/api/%EF%B9%92%EF%B9%92/x", "/api/%EF%B8%B0/x", "/api/..%CD%BEx/y",
		// blanks at the end of a segment, which Windows leaves out
		"/api/..%20/x", "/api/..%20", "/api/.%20./x", "/api/.. /x", "/api/%2e%2e%20;y/x", "/api/..%2520/x", "/api/x/%20/../../y", "/api/x/.../../../y",
		// IIS' own escapes, behind a proxy that decodes
		"/api/%25u002e%25u002e/x", "/api/..%25u002fx", "/api/..%25U005cx",
		// escapes that are none
		"/api/%", "/api/%2", "/api/%zz", "/api/%u002e", "/api/x%", "/api/%%32%65",
		// what ends the path for a second parser
		"/api/..%3Fx", "/api/..%23x", "/api%3F/x", "/api/x/..%2f..%3Fy",
		// characters that end it for the first
		"/api/%00", "/api/x%00/../y", "/api/%0d%0aHost:%20b", "/api/%7f", "/api/\x00", "/api/x\n", "/api/%2500",
		// longer than anybody means, once it is not plain
		"/api/" + strings.Repeat("%41", 4096), "/api/" + strings.Repeat("x/../", 4096), "/api/" + strings.Repeat(";", 9000),
		// in more ways than anybody means
		`/api/a%2fb\c;d//e%3ff%5c..%252f;g//h/./i%253b%2f..\j`,
	} {
		v := set.Decide(web, "GET", p)
		if v.Allow || v.Service != nil || v.Rule != "service a" || v.Hint == "" {
			t.Errorf("%.80q: %+v", p, v)
		}
	}
}

func TestPathThatNoRuleDistinguishesIsCarriedAsItIs(t *testing.T) {
	set := compiled(t, bearer("a", "a.test", "", "KEY"), policy.Service{
		Name: "b", Host: "a.test", Methods: []string{"GET"}, Auth: policy.Auth{Type: policy.Passthrough}})
	for _, p := range []string{"", "*", "/@scope%2fname", "/%ff", "/a/../b", "/%252e", "/%zz", strings.Repeat("/%2e", 10_000)} {
		if v := set.Decide(web, "OPTIONS", p); !v.Allow {
			t.Errorf("%.80q: %+v", p, v)
		}
	}
}

func TestReadingsThatLeadToTwoServicesAreDenied(t *testing.T) {
	set := compiled(t, bearer("wide", "a.test", "", "WIDE"), bearer("narrow", "a.test", "/admin/*", "NARROW"))
	for p, want := range map[string]string{
		"/x/y": "WIDE", "/admin/x": "NARROW", "/x/../y": "WIDE", "/admin/a/../b": "NARROW", "/@scope%2fname": "WIDE",
		"/x/../admin/y": "", "/admin/../x": "", "/admin%2fx": "", "/%61dmin/x": "", "//admin/x": "", "/%ff": "",
	} {
		v := set.Decide(web, "GET", p)
		got := ""
		if v.Service != nil {
			got = v.Service.Auth.Token
		}
		if got != want || v.Allow != (want != "") {
			t.Errorf("%q: %+v, want %q", p, v, want)
		}
	}
}

func TestRuleMayHaveWhatClientsEncode(t *testing.T) {
	src := one("name: a", "host: a.test/api/projects/group%2fproject/*", "auth: {type: bearer, token: KEY}") +
		"  - {name: b, host: 'a.test/ü/{x}/~%7E%41%2a', auth: {type: passthrough}}\n"
	services, err := policy.Parse("f", []byte(src), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	if services[0].Path != "/api/projects/group%2Fproject/*" || services[1].Path != "/%C3%BC/%7Bx%7D/~~A%2A" {
		t.Errorf("%q and %q", services[0].Path, services[1].Path)
	}
	set := compiled(t, services...)
	for p, want := range map[string]bool{
		"/api/projects/group%2Fproject/issues":              true,
		"/api/projects/group%2fproject/issues":              true,
		"/api/projects/group%2Fproject/x%2Fy":               true,
		"/api/projects/group/project/issues":                false,
		"/api/projects/group%2Fother/issues":                false,
		"/api/projects/group%252Fproject/issues":            false,
		"/api/projects/group%2Fproject/../../x":             false,
		"/api/projects/group%2Fproject/%2e%2e/%2e%2e/users": false,
		"/%C3%BC/%7Bx%7D/~~A%2A":                            true,
		"/%c3%bc/%7bx%7d/~~A%2a":                            true,
		"/%C3%BC/%7Bx%7D/~~Axy":                             false, // an encoded * is no glob
		"/ü/{x}/~~A%2A":                                     true,
		"/%C3%BC/%7Bx%7D/~%7EA%2A":                          false,
	} {
		if v := set.Decide(web, "GET", p); v.Allow != want {
			t.Errorf("%q: %+v", p, v)
		}
	}
}

func TestGlobMatchesTheWholePath(t *testing.T) {
	for _, c := range []struct {
		glob, path string
		want       bool
	}{
		{"/", "/", true}, {"/", "/x", false}, {"/", "", true},
		{"/*", "/", true}, {"/*", "/x/y", true},
		{"/a", "/a", true}, {"/a", "/a/", false}, {"/a", "/ab", false},
		{"/a*", "/a", true}, {"/a*", "/ab/c", true}, {"/a*", "/b", false},
		{"/a/*/b", "/a/x/b", true}, {"/a/*/b", "/a/x/y/b", true}, {"/a/*/b", "/a//b", false}, {"/a/*/b", "/a/b", false},
		{"/a/*/b", "/a/x/b/", false},
		{"/*/x/*", "/a/x/b", true}, {"/*/x/*", "/a/b/x/c", true}, {"/*/x/*", "/a/y/b", false},
		{"/*a*a", "/aa", true}, {"/*a*a", "/a", false}, {"/*ab*ba", "/aba", false}, {"/*ab*ba", "/abba", true},
		{"/aa*aa", "/aaa", false}, {"/aa*aa", "/aaaa", true},
		{"/*.json", "/a/b.json", true}, {"/*.json", "/a.jsonl", false},
		{"/*a*b*c*", "/xaxbxcx", true}, {"/*a*b*c*", "/xcxbxax", false},
	} {
		set := compiled(t, bearer("a", "a.test", c.glob, "KEY"))
		if v := set.Decide(web, "GET", c.path); v.Allow != c.want {
			t.Errorf("%q of %q: %t", c.path, c.glob, v.Allow)
		}
	}
}

// servers read paths as some in the field do, each written for itself and in its own
// order; none shares code with what it tests.
var servers = map[string]func(string) (string, bool){
	"as it is": func(p string) (string, bool) { return p, true },
	"Go's http.FileServer": func(p string) (string, bool) {
		p, err := url.PathUnescape(p)
		return path.Clean("/" + p), err == nil
	},
	"nginx, merging slashes": func(p string) (string, bool) {
		p, err := url.PathUnescape(p)
		for strings.Contains(p, "//") {
			p = strings.ReplaceAll(p, "//", "/")
		}
		return path.Clean("/" + p), err == nil
	},
	"Tomcat: parameters go, then it decodes, then resolves": func(p string) (string, bool) {
		var segments []string
		for s := range strings.SplitSeq(p, "/") {
			s, _, _ = strings.Cut(s, ";")
			segments = append(segments, s)
		}
		p, err := url.PathUnescape(strings.Join(segments, "/"))
		return path.Clean("/" + p), err == nil
	},
	"one that decodes, and then looks for parameters": func(p string) (string, bool) {
		p, err := url.PathUnescape(p)
		var segments []string
		for s := range strings.SplitSeq(p, "/") {
			s, _, _ = strings.Cut(s, ";")
			segments = append(segments, s)
		}
		return path.Clean("/" + strings.Join(segments, "/")), err == nil
	},
	"IIS: backslashes are slashes": func(p string) (string, bool) {
		p, err := url.PathUnescape(p)
		return path.Clean("/" + strings.ReplaceAll(p, `\`, "/")), err == nil
	},
	"Envoy: only what is unreserved is decoded": func(p string) (string, bool) {
		p = strings.NewReplacer("%2e", ".", "%2E", ".", "%61", "a", "%70", "p", "%69", "i").Replace(p)
		return path.Clean("/" + p), true
	},
	"a proxy that decodes, before one that does": func(p string) (string, bool) {
		p, err := url.PathUnescape(p)
		if err != nil {
			return "", false
		}
		q, err := url.PathUnescape(path.Clean("/" + p))
		return path.Clean("/" + q), err == nil
	},
	"a proxy that decodes, before one that parses again": func(p string) (string, bool) {
		p, err := url.PathUnescape(p)
		if err != nil {
			return "", false
		}
		u, err := url.ParseRequestURI(p)
		if err != nil {
			return "", false
		}
		return path.Clean("/" + u.Path), true
	},
	"C, where NUL ends": func(p string) (string, bool) {
		p, err := url.PathUnescape(p)
		p, _, _ = strings.Cut(p, "\x00")
		return path.Clean("/" + p), err == nil
	},
}

// The law: what is allowed under /api/ is below /api for every server.
func FuzzAllowedPathStaysWithinItsRule(f *testing.F) {
	for _, s := range []string{
		"/api/x", "/api/../x", "/api/%2e%2e/x", "/api/..;/x", `/api/..\x`, "/api/%252e%252e/x", "/api//../x", "/api/x%2f..%2f..", "/api/..%3f",
		"/api/%c0%ae", "/api/x%00", "/api%2fx/%2e%2e/y", "/api/a;b/../c%5c", "/api/.", "/api/x/..",
	} {
		f.Add(s)
	}
	set := compiled(f, bearer("a", "a.test", "/api/*", "KEY"))
	f.Fuzz(func(t *testing.T, p string) {
		if v := set.Decide(web, "GET", p); !v.Allow {
			return
		}
		for name, read := range servers {
			got, ok := read(p)
			if ok && got != "/api" && !strings.HasPrefix(got, "/api/") {
				t.Errorf("%q is allowed, and %s takes it for %q", p, name, got)
			}
		}
	})
}

// The control of the law: each of those servers can be led out of a prefix.
func TestEveryModelServerCanBeLedOutOfAPrefix(t *testing.T) {
	out := map[string]string{
		"as it is":               "/x",
		"Go's http.FileServer":   "/api/%2e%2e/x",
		"nginx, merging slashes": "/api//../x",
		"Tomcat: parameters go, then it decodes, then resolves": "/api/..;a/x",
		"one that decodes, and then looks for parameters":       "/api/..%3Ba/x",
		"IIS: backslashes are slashes":                          "/api/..%5cx",
		"Envoy: only what is unreserved is decoded":             "/api%2fx/%2e%2e/x",
		"a proxy that decodes, before one that does":            "/api/%252e%252e/x",
		"a proxy that decodes, before one that parses again":    "/api/..%3fx",
		"C, where NUL ends":                                     "/api/..%00/api/x",
	}
	for name, read := range servers {
		p := out[name]
		if got, ok := read(p); p == "" || (!ok || strings.HasPrefix(got, "/api")) {
			t.Errorf("%s reads %q as %q", name, p, got)
		}
	}
}
