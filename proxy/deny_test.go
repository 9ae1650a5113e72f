package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func services(s ...policy.Service) []policy.Service { return s }

// reason reads the body of a refusal.
func reason(t *testing.T, res *http.Response) (e struct{ Code, Message, Hint, Rule string }) {
	t.Helper()
	var body struct {
		Error *struct{ Code, Message, Hint, Rule string }
	}
	if err := json.Unmarshal([]byte(read(t, res)), &body); err != nil || body.Error == nil {
		t.Fatalf("%s: not a refusal: %v", res.Status, err)
	}
	if res.Header.Get("Av-Error") != body.Error.Code || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v for %s", res.Header, body.Error.Code)
	}
	return *body.Error
}

func TestDeniedHostIsNotResolvedDialledOrMinted(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w, _ := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
			for range 2 { // the proxy's own leaf is there after the first
				_, res := w.connect(by, "Evil.Test.:443")
				e := reason(t, res)
				if res.StatusCode != 403 || e.Code != "denied" || e.Rule != policy.RuleUnmatchedDeny || e.Hint != "av run --allow evil.test ..." {
					t.Errorf("%s %+v", res.Status, e)
				}
			}
			minted := int64(1) // the host that policy names has its leaf at once
			if by == byCertificate {
				minted = 2
			}
			w.minted(minted)
			if touched := w.names.touched(); len(touched) != 0 {
				t.Errorf("the proxy asked for or went to %s", touched)
			}
			entries := w.records()
			if len(entries) != 2 || entries[0].Allowed || entries[0].Host != "evil.test" || entries[0].Port != 443 || entries[0].Rule != policy.RuleUnmatchedDeny || entries[0].Status != 403 {
				t.Errorf("records %+v", entries)
			}
		})
	}
}

func TestDeniedAbsoluteFormIsNotResolved(t *testing.T) {
	w := newWorld(t, setup{allow: []string{"pkg.vendor.test"}})
	for _, url := range []string{"http://evil.test/", "http://pkg.vendor.test/", "http://127.0.0.1:14321/v1", "http://evilpkg.vendor.test/"} {
		res := try(w.absolute().Get(url))(t)
		if e := reason(t, res); res.StatusCode != 403 || e.Code != "denied" {
			t.Errorf("%s: %s %+v", url, res.Status, e)
		}
	}
	if touched := w.names.touched(); len(touched) != 0 {
		t.Errorf("the proxy asked for or went to %s", touched)
	}
}

func TestOtherPortsOfAnAllowedHostAreDenied(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	for _, target := range []string{apiHost + ":22", apiHost + ":25", apiHost + ":80", apiHost + ":8443"} {
		if _, res := w.connect(byToken, target); res.StatusCode != 403 {
			t.Errorf("%s: %s", target, res.Status)
		}
	}
	for _, target := range []string{apiHost + ":0", apiHost + ":65536", apiHost, "user@" + apiHost + ":443", apiHost + ":443/x", "127.1:443", "[fe80::1%25eth0]:443"} {
		if _, res := w.connect(byToken, target); res.StatusCode != 400 {
			t.Errorf("%s: %s", target, res.Status)
		}
	}
	entries := w.records()
	if len(entries) != 11 {
		t.Errorf("%d records, want one for each target", len(entries))
	}
	for _, e := range entries {
		if e.Allowed {
			t.Errorf("record %+v", e)
		}
	}
	if touched := w.names.touched(); len(touched) != 0 {
		t.Errorf("the proxy asked for or went to %s", touched)
	}
}

func TestRequestThatIsNotForAProxyIsExplained(t *testing.T) {
	w := newWorld(t, setup{})
	conn := w.dial(byCertificate)
	defer conn.Close()
	res := raw(t, conn, "GET / HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n")
	if e := reason(t, res); res.StatusCode != 400 || e.Code != "not_proxied" {
		t.Errorf("%s %+v", res.Status, e)
	}
}

// B3, B4, B5 of the attack list, through the proxy and past an open policy.
func TestInnerNetworkCannotBeReachedThroughAnOpenPolicy(t *testing.T) {
	w := newWorld(t, setup{unmatched: policy.Allow})
	for host, addr := range map[string]string{
		"metadata.google.internal": "169.254.169.254", "rebind.test": "127.0.0.1", "lan.test": "192.168.1.1",
		"v6.test": "::1", "mapped.test": "::ffff:10.0.0.1", "nat64.test": "64:ff9b::a9fe:a9fe", "azure.test": "168.63.129.16",
	} {
		w.names.addrs[host+"."] = addr
	}
	refused := func(name string, res *http.Response) {
		t.Helper()
		if e := reason(t, res); res.StatusCode != 403 || e.Code != "egress_refused" {
			t.Errorf("%s: %s %+v", name, res.Status, e)
		}
	}
	for _, host := range []string{
		"metadata.google.internal", "rebind.test", "lan.test", "v6.test", "mapped.test", "nat64.test", "azure.test",
		"127.0.0.1", "10.83.0.1", "169.254.169.254", "168.63.129.16", "100.100.100.200", "0.0.0.0", "100.64.0.1", "198.18.0.1", "240.0.0.1", "255.255.255.255", "224.0.0.1",
		"[::1]", "[::]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::a9fe:a9fe]",
		"[2002:7f00:1::1]", "[2001:0:808:808::1]", "[::127.0.0.1]", "[fe80::1]",
	} {
		refused("http://"+host, try(w.absolute().Get("http://"+host+"/latest/meta-data"))(t))
	}
	// And inside a tunnel, where the client believes that it is connected.
	res := try(w.client(byToken).Get("https://rebind.test/"))(t)
	refused("https://rebind.test", res)
	for _, dialled := range w.names.dialled {
		t.Errorf("dialled %s", dialled)
	}

	// Control: a public address passes.
	plain := newPlain(t, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "public") })
	w.names.leads("public.test", "8.8.8.8", 80, plain)
	if got := read(t, try(w.absolute().Get("http://public.test/"))(t)); got != "public" {
		t.Errorf("control: %s", got)
	}
	for _, e := range w.records() {
		if e.Allowed != (e.Host == "public.test") {
			t.Errorf("record %+v", e)
		}
	}
}

func TestBytesThatAreNeitherTLSNorHTTPAreRefused(t *testing.T) {
	for _, c := range []struct{ name, bytes, want string }{
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", "neither TLS nor HTTP"},
		{"SSLv2", "\x80\x2e\x01\x03\x01", "neither TLS nor HTTP"},
		{"nothing", "", "closed waiting for the first byte"},
		{"half a ClientHello", "\x16\x03\x01\x02\x00\x01\x00", "closed in the TLS handshake"},
		{"malformed ClientHello", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff", "failed in the TLS handshake"},
		{"endless record", "\x16\x03\x01\xff\xff" + string(bytes.Repeat([]byte{1}, 70000)), "failed in the TLS handshake"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _ := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
			conn := w.tunnel(byToken, apiHost+":443")
			_, _ = io.WriteString(conn, c.bytes) // the proxy may close before it has all
			_ = closeWrite(conn)
			ended(t, conn)
			e := w.ledger.wait(t, 1)
			if len(e.Reason) < len(c.want) || e.Reason[:len(c.want)] != c.want || e.Host != apiHost {
				t.Errorf("record %+v", e)
			}
			if n := len(w.records()); n != 1 {
				t.Errorf("%d records", n)
			}
			if touched := w.names.touched(); len(touched) != 0 {
				t.Errorf("the proxy went to %s", touched)
			}
		})
	}
}
