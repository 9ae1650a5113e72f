package match

import (
	"net/url"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

var github = policy.Target{Host: "github.com", Port: 443}

func TestConnectLineHasOneReading(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"github.com:443", "github.com:443"},
		{"GitHub.COM:443", "github.com:443"},
		{"github.com.:443", "github.com:443"},
		{"b\u00fccher.test:443", "xn--bcher-kva.test:443"},
		{"xn--bcher-kva.test:8443", "xn--bcher-kva.test:8443"},
		{"203.0.113.7:22", "203.0.113.7:22"},
		{"[2001:DB8::7]:443", "[2001:db8::7]:443"},
		{"[::ffff:169.254.169.254]:80", "169.254.169.254:80"},
	} {
		got, err := Connect(c.line)
		if err != nil || got.String() != c.want {
			t.Errorf("%s: %s %v, want %s", c.line, got, err, c.want)
		}
	}
}

func TestConnectLineThatCanBeReadTwoWaysIsRefused(t *testing.T) {
	for _, line := range []string{
		"", ":443", "github.com", "github.com:", "github.com:0", "github.com:65536", "github.com:443abc", "github.com:+443",
		"github.com:443:443", "user@github.com:443", "github.com:443@evil.test:443", "http://github.com:443", "github.com:443/x",
		"github.com:443?x", "evil.test#github.com:443", "\\\\evil.test:443", "github..com:443", ".github.com:443", "github.com..:443",
		"git hub.com:443", "github.com\x00.evil.test:443", "github.com\r\n:443", "%67ithub.com:443",
		"2130706433:80", "0x7f.1:80", "0177.0.0.1:80", "127.1:80", "127.0.0.1.:0", "[fe80::1%25eth0]:443", "[fe80::1%eth0]:443", "[::1]443", "[127.0.0.1]:80",
		strings.Repeat("a", 300) + ".test:443",
	} {
		got, err := Connect(line)
		if err == nil {
			t.Errorf("%q was read as %s", line, got)
		} else if len(line) > 5 && strings.Contains(err.Error(), line) {
			t.Errorf("the refusal repeats what was sent: %v", err)
		}
	}
}

func TestAbsoluteURINamesTheHostAfterTheAt(t *testing.T) {
	for _, c := range []struct {
		uri, want string
		secure    bool
	}{
		{"http://github.com/x", "github.com:80", false},
		{"http://GITHUB.com.:8080/x?a=b", "github.com:8080", false},
		{"https://github.com/x", "github.com:443", true},
		{"http://evil.test#github.com", "evil.test:80", false},
		{"http://[::1]/", "[::1]:80", false},
		{"http://b%C3%BCcher.test/", "xn--bcher-kva.test:80", false},
		{"http://github.com@evil.test/", "", false},
		{"http://user:pass@github.com/", "", false},
		{"ftp://github.com/", "", false},
		{"http:///x", "", false},
		{"http:@evil.test/x", "", false},
		{"http:https://evil.test/x", "", false},
		{"/x", "", false},
		{"http://127.1/", "", false},
	} {
		u, err := url.ParseRequestURI(c.uri)
		if strings.Contains(c.uri, "#") {
			u, err = url.Parse(c.uri)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, secure, err := Absolute(u)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s was read as %s", c.uri, got)
			}
			continue
		}
		if err != nil || got.String() != c.want || secure != c.secure {
			t.Errorf("%s: %s secure %v %v, want %s", c.uri, got, secure, err, c.want)
		}
	}
}

func TestAuthorityAgreesInEverySpellingOfItsHost(t *testing.T) {
	for _, a := range []string{"github.com", "GitHub.com", "github.com.", "github.com:443", "GITHUB.COM.:443"} {
		if !Agrees(github, a, HTTPSPort) {
			t.Errorf("%q does not agree with %s", a, github)
		}
	}
	for _, a := range []string{
		"", "evil.test", "evilgithub.com", "github.com.evil.test", "api.github.com", "github.com:80", "github.com:8443",
		"user@github.com", "github.com:443:443", "github.com/", "github.com,evil.test", "g\u0131thub.com", "github\uff0ecom\u0301",
	} {
		if Agrees(github, a, HTTPSPort) {
			t.Errorf("%q agrees with %s", a, github)
		}
	}
	if Agrees(github, "github.com", HTTPPort) {
		t.Error("port 80 by default agrees with port 443")
	}
}

func TestServerNameAgreesWithItsTarget(t *testing.T) {
	for _, name := range []string{"", "github.com", "GitHub.com"} {
		if !AgreesSNI(github, name) {
			t.Errorf("%q does not agree", name)
		}
	}
	for _, name := range []string{"evil.test", "api.github.com", "github.com:443", "[github.com]", "github.com\x00", "203.0.113.7"} {
		if AgreesSNI(github, name) {
			t.Errorf("%q agrees", name)
		}
	}
}

func TestAuthorityLeavesOutTheDefaultPort(t *testing.T) {
	for _, c := range []struct {
		t    policy.Target
		want string
	}{
		{github, "github.com"},
		{policy.Target{Host: "github.com", Port: 8443}, "github.com:8443"},
		{policy.Target{Host: "::1", Port: 443}, "[::1]"},
		{policy.Target{Host: "::1", Port: 80}, "[::1]:80"},
	} {
		if got := Authority(c.t, HTTPSPort); got != c.want {
			t.Errorf("%s: %s, want %s", c.t, got, c.want)
		}
	}
}

// FuzzConnect holds the canonical form to its law: reading it again changes nothing,
// and it holds nothing that a resolver, a certificate or a header reads differently.
func FuzzConnect(f *testing.F) {
	for _, seed := range []string{
		"github.com:443", "GitHub.com.:443", "b\u00fccher.test:443", "[::ffff:1.2.3.4]:80", "127.1:80", "0x7f.1:80", "a@b:1",
		"xn--a:443", "\u2024:443", "a\u3002b:443", "1.2.3.4.:443", "[::1%25a]:1", "a..b:443", "\uff11.1:80", "ß.test:443",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		target, err := Connect(line)
		if err != nil {
			return
		}
		if target.Port == 0 {
			t.Errorf("%q: port 0", line)
		}
		if bad := strings.Trim(target.Host, "abcdefghijklmnopqrstuvwxyz0123456789-_.:"); bad != "" || target.Host == "" {
			t.Errorf("%q: host %q", line, target.Host)
		}
		if strings.HasSuffix(target.Host, ".") || len(target.Host) > 253 {
			t.Errorf("%q: host %q", line, target.Host)
		}
		again, err := Connect(target.String())
		if err != nil || again != target {
			t.Errorf("%q: read as %s, and that as %s, %v", line, target, again, err)
		}
		for _, port := range []uint16{HTTPPort, HTTPSPort} {
			if !Agrees(target, Authority(target, port), port) {
				t.Errorf("%s does not agree with itself", target)
			}
		}
	})
}
