package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// hostWorld grants server, on this machine's loopback, as NAME.host.
func hostWorld(t testing.TB, name string, server net.Addr, unmatched policy.Unmatched) (w *world, at string) {
	t.Helper()
	w = newWorld(t, setup{})
	service := policy.HostService{Name: name, Address: server.(*net.TCPAddr).AddrPort()}
	w.opened = try(w.vault.OpenSession(t.Context(), vault.Owner(), vault.Grant{Run: "run-1", Unmatched: unmatched, Host: []policy.HostService{service}}))(t)
	return w, service.Target().String()
}

func TestHostServiceCarriesBytesBothWays(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			server := rawServer(t, greeter)
			w, at := hostWorld(t, "pg", server, policy.Deny)
			conn := w.tunnel(by, at)
			try(io.WriteString(conn, "SELECT 1"))(t)
			must(t, closeWrite(conn))
			if got := string(try(io.ReadAll(conn))(t)); got != greeting+"SELECT 1bye" {
				t.Errorf("%q", got)
			}
			w.ledger.wait(t, 1)
			for _, e := range w.records() {
				if e.Host != "pg.host" || !e.Allowed || e.Rule != "host-service pg" || e.Proto != protoTCP || e.Upstream != server.String() || e.Keys != nil || e.BytesOut != 8 {
					t.Errorf("record %+v", e)
				}
			}
			if len(w.names.asked) != 0 {
				t.Errorf("asked for %s", w.names.asked)
			}
		})
	}
}

// A request with a whole URL is how clients ask a proxy for plain HTTP.
func TestHostServiceAnswersPlainHTTPWithoutACredential(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q %v", r.Host, r.URL, r.Header.Get("Authorization"), r.Header["Proxy-Authorization"])
	}))
	defer up.Close()
	w, at := hostWorld(t, "web", up.Listener.Addr(), policy.Deny)
	must(t, w.vault.SetServices(t.Context(), vault.Owner(), services(policy.Service{Name: "vendor", Host: apiHost, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"}})))
	res := try(w.absolute().Get("http://" + at + "/v1?x=1"))(t)
	if got := read(t, res); res.StatusCode != 200 || got != at+` /v1?x=1 "" []` {
		t.Errorf("%s %s", res.Status, got)
	}
	for _, e := range w.records() {
		if e.Keys != nil || e.Service != "" || e.Upstream != up.Listener.Addr().String() {
			t.Errorf("record %+v", e)
		}
	}
}

// What is granted is one endpoint by one name: neither its address by other names, nor other ports, nor other names.
func TestHostServiceOpensNothingElse(t *testing.T) {
	for _, unmatched := range []policy.Unmatched{policy.Deny, policy.Allow} {
		t.Run(string(unmatched), func(t *testing.T) {
			server, other := rawServer(t, greeter), rawServer(t, greeter)
			w, at := hostWorld(t, "pg", server, unmatched)
			port, otherPort := server.(*net.TCPAddr).Port, other.(*net.TCPAddr).Port
			granted := w.opened
			for _, target := range []string{
				fmt.Sprintf("pg.host:%d", otherPort), fmt.Sprintf("db.host:%d", port), fmt.Sprintf("a.pg.host:%d", port), fmt.Sprintf("host:%d", port),
				fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("[::1]:%d", port), fmt.Sprintf("[::ffff:127.0.0.1]:%d", port), fmt.Sprintf("0.0.0.0:%d", port),
				"metadata.host:80", "metadata.host:443",
			} {
				conn, res := w.connect(byToken, target)
				if conn != nil { // an open policy lets a tunnel begin; its requests are another matter
					res = raw(t, conn, "GET / HTTP/1.1\r\nHost: "+target+"\r\n\r\n")
					conn.Close()
				}
				if e := reason(t, res); res.StatusCode != 403 || e.Code != "denied" && e.Code != "egress_refused" {
					t.Errorf("%s: %s %+v", target, res.Status, e)
				}
				res = try(w.absolute().Get("http://" + target + "/"))(t)
				if e := reason(t, res); res.StatusCode != 403 || e.Code != "denied" && e.Code != "egress_refused" {
					t.Errorf("%s as a URL: %s %+v", target, res.Status, e)
				}
			}
			// Another session of the same vault.
			w.opened = w.session(setup{unmatched: unmatched})
			_, res := w.connect(byToken, at)
			if e := reason(t, res); res.StatusCode != 403 || e.Message != "this run was given no host service "+at+", and a name in .host is nothing else: it is not looked up" ||
				e.Hint != fmt.Sprintf("av run --host-service pg=HOST:%d ...", port) {
				t.Errorf("another session: %s %+v", res.Status, e)
			}
			if touched := w.names.touched(); len(touched) != 0 {
				t.Errorf("the proxy asked for or went to %s", touched)
			}
			// Control: the session that was given it, by other spellings of the one name too.
			w.opened = granted
			for _, target := range []string{at, fmt.Sprintf("PG.Host.:%d", port)} {
				try(io.ReadFull(w.tunnel(byToken, target), make([]byte, len(greeting))))(t)
			}
		})
	}
}

// The vault knows the addresses of metadata services; that they have other spellings in IPv6, the guard knows.
func TestHostServiceIsNoWayToAMetadataService(t *testing.T) {
	for _, address := range []string{"[64:ff9b::a9fe:a9fe]:80", "[2002:a9fe:a9fe::1]:80"} {
		server := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
		w, at := hostWorld(t, "md", server, policy.Deny)
		_, res := w.connect(byToken, at)
		if e := reason(t, res); e.Code != "egress_refused" || e.Hint != "" {
			t.Errorf("%s: %s %+v", address, res.Status, e)
		}
		if len(w.names.dialled) != 0 {
			t.Errorf("dialled %s", w.names.dialled)
		}
	}
}

func TestHostServiceClosesWithItsSession(t *testing.T) {
	w, at := hostWorld(t, "pg", rawServer(t, greeter), policy.Deny)
	conn := w.tunnel(byToken, at)
	try(io.ReadFull(conn, make([]byte, len(greeting))))(t)
	must(t, w.vault.EndSession(t.Context(), vault.Owner(), w.opened.ID))
	ended(t, conn)
	if _, res := w.connect(byToken, at); res.StatusCode != http.StatusProxyAuthRequired {
		t.Errorf("after its end: %s", res.Status)
	}
}
