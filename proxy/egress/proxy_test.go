package egress

import (
	"fmt"
	"strings"
	"testing"
)

func TestProxyURLIsReadStrictly(t *testing.T) {
	for address, want := range map[string]string{
		"http://proxy.corp.example:3128": "http://proxy.corp.example:3128", "http://proxy": "http://proxy:80", "https://proxy/": "https://proxy:443",
		"socks5://10.0.0.1": "socks5://10.0.0.1:1080", "SOCKS5H://proxy:9": "socks5h://proxy:9", "http://[fd00::1]:3128": "http://[fd00::1]:3128",
		"http://u:p@proxy:1": "http://proxy:1", "socks5://u@127.0.0.1:1": "socks5://127.0.0.1:1",
	} {
		p, err := NewProxy(address, "", nil)
		if err != nil || p.String() != want {
			t.Errorf("%s: %v, %v; want %s", address, p, err, want)
		}
	}
	const s = "s3cret"
	for address, want := range map[string]string{
		"":                              "does not begin with",
		s:                               "does not begin with",
		s + ":" + s + "@proxy:3128":     "does not begin with",
		"proxy.corp.example:3128":       "does not begin with",
		"10.0.0.1:" + s:                 "cannot be read",
		"ftp://u:" + s + "@proxy":       "does not begin with",
		"socks4://u:" + s + "@proxy":    "does not begin with",
		"http://":                       "has no host",
		"http://u:" + s + "@":           "has no host",
		"http://:3128":                  "has no host",
		"http://proxy:0":                "port",
		"http://proxy:65536":            "port",
		"http://proxy:":                 "port",
		"http://proxy:" + s:             "cannot be read",
		"http://u:" + s + "/x@proxy":    "cannot be read",
		"http://u:1/" + s + "@proxy":    "goes on after",
		"http://u:1#" + s + "@proxy":    "goes on after",
		"http://u:1?" + s + "@proxy":    "goes on after",
		"http://u:" + s + "%zz@proxy:1": "cannot be read",
		"http://proxy/" + s:             "goes on after",
		"http://:" + s + "@proxy":       "has a password and no user",
		"http://a%3ab:" + s + "@proxy":  "colon",
		"http://proxy:1\n" + s:          "cannot be read",
		"socks5://u:" + strings.Repeat(s, 50) + "@proxy": "longer than",
		"http://169.254.169.254":                         reasonMetadata,
		"http://[::ffff:169.254.169.254]:80":             reasonMetadata,
		"http://0.0.0.0:3128":                            "unspecified address",
	} {
		p, err := NewProxy(address, "", nil)
		if err == nil {
			t.Errorf("%q was taken for %v", address, p)
			continue
		}
		hint := err.(*problem).Hint()
		if !strings.Contains(err.Error(), want) || hint == "" {
			t.Errorf("%q: %v, want %s", address, err, want)
		}
		if strings.Contains(err.Error()+hint, s) {
			t.Errorf("%q: repeated in %v", address, err)
		}
	}
}

// Whoever prints a proxy, a guard or an option by mistake prints no password.
func TestProxyPrintsNoPassword(t *testing.T) {
	p, err := NewProxy("http://us3r:s3cret@proxy:3128", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if user, password, ok := p.login(); !ok || user != "us3r" || password != "s3cret" {
		t.Errorf("control: %s %s", user, password)
	}
	g := New(&names{}, &wires{}, Through(p))
	for _, text := range []string{fmt.Sprint(p, *p), fmt.Sprintf("%+v %#v %s %q", p, *p, p, p), fmt.Sprintf("%+v %#v", g, *g)} {
		if strings.Contains(text, "s3cret") || strings.Contains(text, "us3r") {
			t.Errorf("printed in %s", text)
		}
	}
}

func TestRulesAreCheckedWhereTheyAreOurs(t *testing.T) {
	for _, rules := range []string{
		"*", "corp.example", ".corp.example", "*.corp.example", "CORP.example", "10.0.0.0/8", "fd00::/8", "10.1.2.3", "fd00::1", "10.1.2.3:8080",
		"[fd00::1]:8080", "build:8080", "build", "a_b.example", " a.example , 10.0.0.0/8",
	} {
		if err := CheckRules(rules); err != nil {
			t.Errorf("%q: %v", rules, err)
		}
	}
	for _, rules := range []string{
		"", ",", "a.example,", "10.0.0.0/33", "10.0/8", "10.1", "10.1.2.300", "a.example:0", "a.example:65536", "a.example:http", ":8080",
		"*corp.example", "a.*.example", "a..example", "http://a.example", "user:s3cret@a.example", "[fd00::1]", "fe80::1%eth0", "a.example/x", "a b", "<local>", ".",
	} {
		err := CheckRules(rules)
		if err == nil {
			t.Errorf("%q was taken", rules)
		} else if strings.Contains(err.Error()+err.(*problem).Hint(), "s3cret") {
			t.Errorf("repeated in %v", err)
		}
	}
	if err := CheckRules("a.example,b..example,c.example"); err == nil || err.Error() != "entry 2 of 3 is no rule" {
		t.Errorf("%v", err)
	}
}

func TestRulesSpareWhatNoProxyWould(t *testing.T) {
	for _, c := range []struct {
		rules, host string
		port        uint16
		want        bool
	}{
		{"", "a.example", 443, false},
		{"a.example", "a.example", 443, true}, {"a.example", "b.a.example", 443, true}, {"a.example", "aa.example", 443, false},
		{"a.example", "a.example.", 443, true},
		{".a.example", "a.example", 443, false}, {".a.example", "b.a.example", 443, true}, {"*.a.example", "b.a.example", 443, true},
		{"a.example:8080", "a.example", 8080, true}, {"a.example:8080", "a.example", 443, false},
		{"10.0.0.0/8", "10.1.2.3", 443, true}, {"10.0.0.0/8", "11.1.2.3", 443, false}, {"10.1.2.3:80", "10.1.2.3", 443, false},
		{"fd00::/8", "fd00::1", 443, true}, {"2001:db8::1", "2001:db8::1", 443, true},
		{"*", "a.example", 443, true}, {"b.example,*", "8.8.8.8", 443, true},
		{"<local>,a.example", "a.example", 443, true}, // what it cannot read hides nothing else
	} {
		p, err := NewProxy("http://proxy", c.rules, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.spares(c.host, c.port); got != c.want {
			t.Errorf("%q, %s:%d: %v", c.rules, c.host, c.port, got)
		}
	}
}
