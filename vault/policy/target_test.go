package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func TestTargetHasOneCanonicalForm(t *testing.T) {
	for in, want := range map[string]string{
		"api.github.com":               "api.github.com:443",
		"API.GitHub.com":               "api.github.com:443",
		"api.github.com.":              "api.github.com:443",
		"api.github.com:443":           "api.github.com:443",
		"api.github.com:8443":          "api.github.com:8443",
		"bücher.example":               "xn--bcher-kva.example:443",
		"BÜCHER.example.":              "xn--bcher-kva.example:443",
		"XN--bcher-kva.example":        "xn--bcher-kva.example:443",
		"github。com":                   "github.com:443",
		"\u212a8s.example":             "k8s.example:443",
		"my_bucket.s3.example":         "my_bucket.s3.example:443",
		"r3---sn-apo3.video.test":      "r3---sn-apo3.video.test:443",
		"localhost:80":                 "localhost:80",
		"192.0.2.7":                    "192.0.2.7:443",
		"192.0.2.7.":                   "192.0.2.7:443",
		"[2001:DB8::1]:8443":           "[2001:db8::1]:8443",
		"2001:db8:0:0:0:0:0:1":         "[2001:db8::1]:443",
		"[2001:db8::1]":                "[2001:db8::1]:443",
		"[::ffff:169.254.169.254]":     "169.254.169.254:443",
		"::ffff:7f00:1":                "127.0.0.1:443",
		"1password.example":            "1password.example:443",
		"0xcafe.example":               "0xcafe.example:443",
		strings.Repeat("a", 63) + ".b": strings.Repeat("a", 63) + ".b:443",
	} {
		got, err := policy.ParseTarget(in, 443)
		if err != nil || got.String() != want {
			t.Errorf("ParseTarget(%q) = %v, %v, want %s", in, got, err, want)
		}
	}
}

func TestTargetRefusesWhatTwoReadersMayReadDifferently(t *testing.T) {
	for _, in := range []string{
		"", ".", "..", "a..b", ".a", "a..", " a", "a ", "a b", "a\tb", "a\nb", "a\x00b", "a\x7f",
		// user information, URLs and escapes
		"github.com@evil.test", "user:pw@evil.test", "evil.test#github.com", `\\evil`, `a\b`,
		"http://a", "a/b", "a?b", "git%68ub.com", "a,b", "*", "*.github.com", "-a.b", "a-.b",
		// ports
		"a:", "a:0", "a:00", "a:0443", "a:+443", "a:-1", "a:65536", "a:443abc", "a:99999999999", "a: 443", ":443",
		"a:443:443", "a:http",
		// addresses in spellings that some resolver takes
		"2130706433", "0x7f.1", "0x7f000001", "127.1", "0177.1", "0177.0.0.1", "127.0.0.1.1", "127.0.0.256",
		"127.0.0.01", "0x", "1.2.3.0x4", "１２７.０.０.１", "127。0。0。1", "0",
		// IPv6
		"[fe80::1%eth0]", "fe80::1%25eth0", "[::1", "::1]", "[::1]443", "[::1]:", "[127.0.0.1]", "[a.b]", "[]", "[]:443",
		":::1", "[v1.x]",
		// internationalised names
		"xn--", "xn--a.b", "xn--github-.com", "a.xn--zzzzzzz9999", "\u200d.example", "a\u2024b", "\xff.test",
		strings.Repeat("a", 64) + ".b", strings.Repeat("a.", 127) + "aa", strings.Repeat("a", 1<<20),
	} {
		if got, err := policy.ParseTarget(in, 443); err == nil {
			t.Errorf("ParseTarget(%q) = %v, want it refused", in, got)
		}
	}
}

func TestTargetThatIsMoreThanAHostIsExplained(t *testing.T) {
	for in, want := range map[string]string{
		"https://x.test/": `refusing "https://x.test/": it is a URL, and a host is wanted`,
		"http://x.test":   `refusing "http://x.test": it is a URL, and a host is wanted`,
		"*.x.test":        `refusing "*.x.test": it is a wildcard, and a host is wanted`,
		"*":               `refusing "*": it is a wildcard, and a host is wanted`,
	} {
		_, err := policy.ParseTarget(in, 443)
		hinted, ok := errors.AsType[interface {
			error
			Hint() string
		}](err)
		if err == nil || err.Error() != want || !ok || hinted.Hint() == "" {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestTargetWithoutAnyPortIsRefused(t *testing.T) {
	for _, in := range []string{"a.test", "192.0.2.1", "2001:db8::1", "[2001:db8::1]"} {
		if got, err := policy.ParseTarget(in, 0); err == nil {
			t.Errorf("ParseTarget(%q, 0) = %v, want it refused", in, got)
		}
	}
}

// The law: whatever is accepted is a fixed point, and has none of the characters
// that mean something to a URL, a shell or a header.
func FuzzTargetIsCanonical(f *testing.F) {
	for _, s := range []string{"api.github.com", "API.github.com.:8443", "bücher.example", "[::ffff:1.2.3.4]:80", "127.1",
		"xn--bcher-kva.example", "a。b", "1.2.3.4.", "\u212a.test", "a.1", "[2001:db8::1%25x]:1", "\u2135A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := policy.ParseTarget(s, 443)
		if err != nil {
			return
		}
		again, err := policy.ParseTarget(got.String(), 1)
		if err != nil || again != got {
			t.Fatalf("%q: %q is read again as %q, %v", s, got, again, err)
		}
		if got.Port == 0 || strings.Trim(got.Host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:") != "" {
			t.Fatalf("%q: accepted as %q", s, got)
		}
	})
}

func TestHostWithoutAPortHasOneName(t *testing.T) {
	for s, want := range map[string]string{
		"a.test":            "a.test",
		"A.Test.":           "a.test",
		"bücher.example":    "xn--bcher-kva.example",
		"192.0.2.1":         "192.0.2.1",
		"2001:DB8::1":       "2001:db8::1",
		"[2001:db8::1]":     "2001:db8::1",
		"::ffff:192.0.2.1":  "192.0.2.1",
		"a.test:443":        "",
		"a.test:444":        "",
		"a.test:8443":       "",
		"[2001:db8::1]:443": "",
		"*.a.test":          "",
		"*":                 "",
		"https://a.test":    "",
		"a.test/x":          "",
		"user@a.test":       "",
		"127.1":             "",
		"":                  "",
		"a..test":           "",
		"a.test\n":          "",
	} {
		got, err := policy.ParseHost(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", s, got, err, want)
		}
	}
}
