package egress

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// network is a guard behind a corporate proxy, and what it is told.
type network struct {
	*Guard
	proxy   *corporate
	names   *names
	streets *streets
}

type plan struct {
	scheme string
	leads  map[string]string
	names  map[string][]string
	routes map[string]string
	rules  string
	allow  string
}

func newNetwork(t *testing.T, p plan) *network {
	t.Helper()
	cert, text := selfSigned(t, "127.0.0.1")
	if p.scheme != "https" {
		cert = nil
	}
	n := &network{
		proxy: newCorporate(t, p.scheme, p.leads, cert),
		names: &names{answers: p.names}, streets: &streets{routes: p.routes},
	}
	way, err := NewProxy(n.proxy.login(user, password), p.rules, pool(t, text))
	if err != nil {
		t.Fatal(err)
	}
	options := []Option{Through(way)}
	if p.allow != "" {
		ranges, err := ParseRanges(p.allow)
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, Allow(ranges))
	}
	n.Guard = New(n.names, n.streets, options...)
	return n
}

var schemes = []string{"http", "https", "socks5", "socks5h"}

func TestUpstreamIsReachedThroughTheProxy(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			server := echo(t, "vendor")
			n := newNetwork(t, plan{
				scheme: scheme,
				leads:  map[string]string{"api.vendor.test:443": server, "8.8.8.8:443": server, "[2606:4700::1]:80": server},
				names:  map[string][]string{"api.vendor.test.": {"8.8.8.8"}},
			})
			for _, host := range []string{"api.vendor.test", "8.8.8.8"} {
				conn, err := n.Dial(t.Context(), host, 443, netip.AddrPort{})
				if err != nil {
					t.Fatal(err)
				}
				if got := arrived(t, conn); got != "vendor" {
					t.Errorf("%s leads to %s", host, got)
				}
			}
			conn, err := n.Dial(t.Context(), "2606:4700::1", 80, netip.AddrPort{})
			if err != nil {
				t.Fatal(err)
			}
			arrived(t, conn)

			want := []string{"CONNECT api.vendor.test:443", "CONNECT 8.8.8.8:443", "CONNECT [2606:4700::1]:80"}
			if scheme == "socks5" {
				want[0] = "CONNECT 8.8.8.8:443" // the address that was judged
			}
			asked, proof, _ := n.proxy.was()
			if !slices.Equal(asked, want) {
				t.Errorf("asked for %q, want %q", asked, want)
			}
			wantProof := user + ":" + password
			if strings.HasPrefix(scheme, "http") {
				wantProof = "Basic " + base64.StdEncoding.EncodeToString([]byte(wantProof))
			}
			for _, p := range proof {
				if p != wantProof {
					t.Errorf("proof %q", p)
				}
			}
			for _, d := range n.streets.were() {
				if d != n.proxy.addr {
					t.Errorf("dialled %s", d)
				}
			}
		})
	}
}

// Between our look-up and the proxy's, a name can change its answer. With socks5 it has
// no second one.
func TestSocks5ProxyIsAskedForTheJudgedAddress(t *testing.T) {
	n := newNetwork(t, plan{
		scheme: "socks5", leads: map[string]string{"8.8.4.4:443": echo(t, "public"), "127.0.0.1:443": echo(t, "private")},
		names: map[string][]string{"rebind.test.": {"8.8.8.8 8.8.4.4", "127.0.0.1"}},
	})
	conn, err := n.Dial(t.Context(), "rebind.test", 443, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	if got := arrived(t, conn); got != "public" {
		t.Errorf("it leads to the %s server", got)
	}
	// The first address leads nowhere, so the next is asked for.
	if asked, _, _ := n.proxy.was(); !slices.Equal(asked, []string{"CONNECT 8.8.8.8:443", "CONNECT 8.8.4.4:443"}) || len(n.names.asked) != 1 {
		t.Errorf("asked for %v after look-ups %v", asked, n.names.asked)
	}
	if _, err := n.Dial(t.Context(), "rebind.test", 443, netip.AddrPort{}); !isRefused(err, "loopback address") {
		t.Errorf("control: the second answer: %v", err)
	}
}

func isRefused(err error, reason string) bool {
	refused, ok := errors.AsType[*Refused](err)
	return ok && refused.Reason == reason
}

func TestProxyIsNotAskedForWhatIsRefused(t *testing.T) {
	resolved := map[string][]string{
		"inside.test.": {"10.0.0.1"}, "mixed.test.": {"8.8.8.8 192.168.1.1"}, "cloud.test.": {"169.254.169.254"},
		"disguised.test.": {"64:ff9b::169.254.169.254"}, "mapped.test.": {"::ffff:127.0.0.1"},
	}
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			n := newNetwork(t, plan{scheme: scheme, names: resolved})
			for host, reason := range map[string]string{
				"inside.test": "private address", "mixed.test": "private address", "cloud.test": reasonMetadata,
				"disguised.test": reasonMetadata, "mapped.test": "loopback address",
				"127.0.0.1": "loopback address", "10.1.2.3": "private address", "169.254.169.254": reasonMetadata,
				"::ffff:10.1.2.3": "private address", "2002:a9fe:a9fe::1": reasonMetadata, "64:ff9b::10.0.0.1": "private address",
				"fd00:ec2::254": reasonMetadata, "203.0.113.7": "documentation address",
			} {
				if _, err := n.Dial(t.Context(), host, 80, netip.AddrPort{}); !isRefused(err, reason) {
					t.Errorf("%s: %v, want %s", host, err, reason)
				}
			}
			if _, _, conns := n.proxy.was(); conns != 0 {
				t.Errorf("%d connections came to the proxy", conns)
			}
		})
	}
}

func TestNameThatOnlyTheProxyKnowsIsJudgedBySpelling(t *testing.T) {
	server := echo(t, "vendor")
	for _, scheme := range []string{"http", "https", "socks5h"} {
		n := newNetwork(t, plan{scheme: scheme, leads: map[string]string{"api.vendor.test:80": server}})
		conn, err := n.Dial(t.Context(), "api.vendor.test", 80, netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		arrived(t, conn)
		for _, host := range []string{
			"metadata.google.internal", "metadata.google.internal.", "METADATA.google.internal", "sub.localhost", "intranet", "metadata",
			"2130706433", "127.1", "0x7f.1", "0177.0.0.01", "10.0.0.0x1", "a.test:443", "a.test\r\nX: y", "a b.test", "a.test/x", "",
		} {
			if _, err := n.Dial(t.Context(), host, 80, netip.AddrPort{}); !isRefusal(err) {
				t.Errorf("%s: %q: %v", scheme, host, err)
			}
		}
		if asked, _, _ := n.proxy.was(); !slices.Equal(asked, []string{"CONNECT api.vendor.test:80"}) {
			t.Errorf("%s: asked for %q", scheme, asked)
		}
	}
	// A socks5 proxy is asked for addresses, and there is none.
	n := newNetwork(t, plan{scheme: "socks5"})
	if _, err := n.Dial(t.Context(), "api.vendor.test", 80, netip.AddrPort{}); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("socks5: %v", err)
	}
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*Refused](err)
	return ok
}

func TestWhatIsInsideIsDialledWithoutTheProxy(t *testing.T) {
	server := echo(t, "inside")
	n := newNetwork(t, plan{
		scheme: "http", rules: "direct.test,.corp.test,9.9.9.0/24,1.1.1.1,ported.test:8080", allow: "10.1.0.0/16",
		leads: map[string]string{
			"ported.test:443": echo(t, "proxied"), "corp.test:443": echo(t, "proxied"), "1.1.1.2:443": echo(t, "proxied"),
		},
		names: map[string][]string{
			"billing.test.": {"10.1.2.3"}, "direct.test.": {"8.8.8.8"}, "a.corp.test.": {"8.8.8.8"}, "ported.test.": {"8.8.8.8"},
			"evil.corp.test.": {"10.2.0.1"}, "corp.test.": {"8.8.8.8"},
		},
		routes: map[string]string{
			"10.1.2.3:443": server, "8.8.8.8:443": server, "9.9.9.9:443": server, "1.1.1.1:443": server, "8.8.8.8:8080": server,
			"10.7.7.7:8443": server,
		},
	})
	for _, c := range []struct {
		host        string
		port        uint16
		grant, want string
	}{
		{"billing.test", 443, "", "inside"},              // an allowed range
		{"10.1.2.3", 443, "", "inside"},                  // likewise
		{"granted.test", 443, "10.7.7.7:8443", "inside"}, // upstream.address
		{"direct.test", 443, "", "inside"},               // by rule: a name,
		{"a.corp.test", 443, "", "inside"},               // a suffix,
		{"9.9.9.9", 443, "", "inside"},                   // a range,
		{"1.1.1.1", 443, "", "inside"},                   // an address,
		{"ported.test", 8080, "", "inside"},              // a port
		{"ported.test", 443, "", "proxied"},              // controls
		{"corp.test", 443, "", "proxied"},
		{"1.1.1.2", 443, "", "proxied"},
	} {
		var grant netip.AddrPort
		if c.grant != "" {
			grant = netip.MustParseAddrPort(c.grant)
		}
		conn, err := n.Dial(t.Context(), c.host, c.port, grant)
		if err != nil {
			t.Errorf("%s: %v", c.host, err)
			continue
		}
		if got := arrived(t, conn); got != c.want {
			t.Errorf("%s:%d is %s, want %s", c.host, c.port, got, c.want)
		}
	}
	// A rule says which way, not whether.
	if _, err := n.Dial(t.Context(), "evil.corp.test", 443, netip.AddrPort{}); !isRefused(err, "private address") {
		t.Errorf("a rule let a private address through: %v", err)
	}
}

func TestStarSparesAllFromTheProxy(t *testing.T) {
	server := echo(t, "direct")
	n := newNetwork(t, plan{
		scheme: "http", rules: "*", names: map[string][]string{"a.test.": {"8.8.8.8"}}, routes: map[string]string{"8.8.8.8:443": server},
	})
	conn, err := n.Dial(t.Context(), "a.test", 443, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	arrived(t, conn)
	if _, _, conns := n.proxy.was(); conns != 0 {
		t.Error("the proxy was asked")
	}
}
