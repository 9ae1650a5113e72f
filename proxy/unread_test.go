package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

const (
	dbHost = "db.vendor.test"
	dbAt   = dbHost + ":5432"
)

// rawServer is a server that speaks no HTTP.
func rawServer(t testing.TB, play func(conn *net.TCPConn)) net.Addr {
	t.Helper()
	ln := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				play(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr()
}

// rawWorld grants dbAt as a raw target, and has server there.
func rawWorld(t testing.TB, server net.Addr, s setup) *world {
	t.Helper()
	w := newWorld(t, s)
	w.grantRaw(dbAt)
	w.names.leads(dbHost, "8.8.8.8", 5432, server)
	return w
}

// grantRaw opens another session, with raw targets.
func (w *world) grantRaw(targets ...string) {
	w.t.Helper()
	g := vault.Grant{Run: "run-1"}
	for _, s := range targets {
		g.Raw = append(g.Raw, try(policy.ParseTarget(s, 0))(w.t))
	}
	w.opened = try(w.vault.OpenSession(w.t.Context(), vault.Owner(), g))(w.t)
}

const greeting = "5.7.44 I speak first\n"

// greeter says something at once, as MySQL and SMTP do, and then what it is told, until
// it is told no more. Then it has a last word.
func greeter(conn *net.TCPConn) {
	_, _ = io.WriteString(conn, greeting)
	_, _ = io.Copy(conn, conn)
	_, _ = io.WriteString(conn, "bye")
}

func TestRawTargetCarriesBytesBothWays(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w := rawWorld(t, rawServer(t, greeter), setup{})
			conn := w.tunnel(by, dbAt)
			// The client has said nothing yet.
			first := make([]byte, len(greeting))
			try(io.ReadFull(conn, first))(t)
			// Nor is what it says read as anything, were it HTTP or TLS.
			said := "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n\x16\x03\x01\x00"
			try(io.WriteString(conn, said))(t)
			must(t, closeWrite(conn))
			rest := try(io.ReadAll(conn))(t)
			if string(first) != greeting || string(rest) != said+"bye" {
				t.Errorf("%q then %q", first, rest)
			}
			w.ledger.wait(t, 1)
			entries := w.records()
			if len(entries) != 1 {
				t.Fatalf("records %+v", entries)
			}
			e := entries[0]
			if e.Host != dbHost || e.Port != 5432 || !e.Allowed || e.Rule != "allow tcp://"+dbAt || e.Proto != "tcp" || e.Upstream == "" ||
				e.BytesOut != int64(len(said)) || e.BytesIn != int64(len(greeting)+len(rest)) || e.Keys != nil || e.Reason != "" || e.Status != 200 {
				t.Errorf("record %+v", e)
			}
		})
	}
}

// What the client sends along with its CONNECT belongs to the upstream.
func TestEarlyBytesReachARawTarget(t *testing.T) {
	w := rawWorld(t, rawServer(t, greeter), setup{})
	conn := w.dial(byToken)
	defer conn.Close()
	res := raw(t, conn, "CONNECT "+dbAt+" HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+w.basic()+"\r\n\r\nSELECT 1")
	must(t, closeWrite(conn))
	if got := string(try(io.ReadAll(res.Body))(t)); got != greeting+"SELECT 1bye" {
		t.Errorf("%q", got)
	}
}

// The grant is for one host and one port, and for no other session.
func TestRawBytesGoNowhereElse(t *testing.T) {
	server := rawServer(t, greeter)
	w := rawWorld(t, server, setup{allow: []string{"docs.test:5432"}})
	for host, port := range map[string]uint16{dbHost: 5433, "other.test": 5432, "docs.test": 5432} {
		w.names.leads(host, "8.8.4.4", port, server)
	}
	raw := w.opened
	for _, target := range []string{dbHost + ":5433", dbHost + ":443", "other.test:5432", "sub." + dbAt, "8.8.8.8:5432"} {
		if _, res := w.connect(byToken, target); res.StatusCode != 403 {
			t.Errorf("%s: %s", target, res.Status)
		}
	}
	// A session of the same vault that was not given it.
	w.opened = w.session(setup{allow: []string{"docs.test:5432"}})
	if _, res := w.connect(byToken, dbAt); res.StatusCode != 403 {
		t.Errorf("another session: %s", res.Status)
	}
	// To a host that is allowed without tcp:// only what can be read is carried.
	conn := w.tunnel(byToken, "docs.test:5432")
	try(io.WriteString(conn, "SSH-2.0-x\r\n"))(t)
	ended(t, conn)
	if touched := w.names.touched(); len(touched) != 0 {
		t.Errorf("the proxy went to %s", touched)
	}
	// Control: the session that was given it.
	w.opened = raw
	first := make([]byte, len(greeting))
	try(io.ReadFull(w.tunnel(byToken, dbAt), first))(t)
	want := "neither TLS nor HTTP: --allow tcp://docs.test:5432 carries it"
	for _, e := range w.records() {
		if e.Host == "docs.test" && (e.Reason != want || e.Allowed) {
			t.Errorf("record %+v", e)
		}
	}
}

func TestRawTargetIsJudgedByTheEgressGuard(t *testing.T) {
	for addr, code := range map[string]string{
		"127.0.0.1": "egress_refused", "10.0.0.1": "egress_refused", "169.254.169.254": "egress_refused", "": "unresolved",
	} {
		w := rawWorld(t, rawServer(t, greeter), setup{})
		delete(w.names.addrs, dbHost+".")
		if addr != "" {
			w.names.addrs[dbHost+"."] = addr
		}
		_, res := w.connect(byToken, dbAt)
		e := reason(t, res)
		if helps := code == "egress_refused" && addr != "169.254.169.254"; e.Code != code || strings.Contains(e.Hint, "AV_EGRESS_ALLOW") != helps || strings.Contains(e.Hint, "upstream.address") {
			t.Errorf("%s: %s %+v", addr, res.Status, e)
		}
		if len(w.names.dialled) != 0 {
			t.Errorf("%s: dialled %s", addr, w.names.dialled)
		}
	}
}

// A service says how its host is to be used, and a raw grant does not undo that.
func TestServiceWinsOverARawTarget(t *testing.T) {
	up := newUpstream(t, mirror, apiHost)
	w := newWorld(t, setup{services: services(up.bearer(apiHost))})
	w.grantRaw(apiHost + ":443")
	conn := w.tunnel(byToken, apiHost+":443")
	try(io.WriteString(conn, "SSH-2.0-x\r\n"))(t)
	ended(t, conn)
	if up.conns.get() != 0 {
		t.Error("raw bytes reached the service's upstream")
	}
	if res := try(w.client(byToken).Get("https://" + apiHost + "/"))(t); res.StatusCode != 200 {
		t.Errorf("control: %s", res.Status)
	}
}

func TestRawTunnelClosesWhenItsSessionEnds(t *testing.T) {
	for _, by := range ways {
		w := rawWorld(t, rawServer(t, greeter), setup{})
		conn := w.tunnel(by, dbAt)
		try(io.ReadFull(conn, make([]byte, len(greeting))))(t)
		must(t, w.vault.EndSession(t.Context(), vault.Owner(), w.opened.ID))
		ended(t, conn)
		if e := w.ledger.wait(t, 1); e.Reason != reasonEnded || e.BytesIn != int64(len(greeting)) {
			t.Errorf("record %+v", e)
		}
	}
}

func TestRawTunnelClosesWhenAServiceTakesItsTarget(t *testing.T) {
	w := rawWorld(t, rawServer(t, greeter), setup{})
	conn := w.tunnel(byToken, dbAt)
	try(io.ReadFull(conn, make([]byte, len(greeting))))(t)
	w.replace(policy.Service{Name: "db", Host: dbHost, Port: 5432, Auth: policy.Auth{Type: policy.Passthrough}})
	ended(t, conn)
	if e := w.ledger.wait(t, 1); e.Reason != reasonRegranted {
		t.Errorf("record %+v", e)
	}
}

func TestUpstreamThatBreaksARawTunnelIsNamed(t *testing.T) {
	w := rawWorld(t, rawServer(t, func(conn *net.TCPConn) {
		_, _ = io.ReadFull(conn, make([]byte, 1))
		_ = conn.SetLinger(0) // a reset
	}), setup{})
	conn := w.tunnel(byToken, dbAt)
	try(io.WriteString(conn, "x"))(t)
	ended(t, conn)
	if e := w.ledger.wait(t, 1); e.Reason != reasonUpstreamGone || e.BytesOut != 1 {
		t.Errorf("record %+v", e)
	}
}

// pinned is a world with one service whose clients pin, and its server.
func pinned(t testing.TB, handle http.HandlerFunc) (*world, *server) {
	t.Helper()
	up := newUpstream(t, handle, apiHost)
	return newWorld(t, setup{services: services(up.opaque(apiHost))}), up
}

// opaque is a service for host whose connections nobody reads.
func (s *server) opaque(host string) policy.Service {
	return policy.Service{
		Name: "pinned", Host: host, Auth: policy.Auth{Type: policy.Passthrough}, TLS: policy.TLSPassthrough,
		Upstream: policy.Upstream{Address: s.address()},
	}
}

func (s *server) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.ca))
	return pool
}

func TestPinnedClientSeesTheUpstreamsOwnCertificate(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w, up := pinned(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Proto, r.Header["Authorization"]) })
			for i, sni := range []string{apiHost, "API.Vendor.TEST"} {
				// av's own authority is not among those that this client trusts.
				tunnel := w.tunnel(by, apiHost+":443")
				conn := tls.Client(tunnel, &tls.Config{RootCAs: up.pool(), ServerName: sni, NextProtos: []string{"http/1.1"}})
				must(t, conn.Handshake())
				res := raw(t, conn, "GET /x HTTP/1.1\r\nHost: "+apiHost+"\r\nAuthorization: mine\r\n\r\n")
				if got := read(t, res); got != "HTTP/1.1[mine]" {
					t.Errorf("%s: %q", sni, got)
				}
				must(t, closeWrite(tunnel))
				ended(t, tunnel)
				w.ledger.wait(t, i+1)
			}
			entries := w.records()
			if len(entries) != 2 {
				t.Fatalf("records %+v", entries)
			}
			for _, e := range entries {
				if e.Service != "pinned" || e.Proto != "tls" || !e.Allowed || e.BytesIn < 500 || e.BytesOut < 200 || e.Keys != nil || e.Upstream == "" || e.Reason != "" {
					t.Errorf("record %+v", e)
				}
			}
		})
	}
}

// shake says hello to a pinned target and returns what came of it.
func shake(w *world, up *server, config *tls.Config) error {
	config.RootCAs = up.pool()
	conn := tls.Client(w.tunnel(byToken, apiHost+":443"), config)
	defer conn.Close()
	return conn.Handshake()
}

func TestPinnedTargetIsReachedUnderItsOwnNameAlone(t *testing.T) {
	ech := echConfig(t, apiHost)
	for _, c := range []struct {
		name   string
		say    func(w *world, up *server) error
		reason string
	}{
		{"another host's name", func(w *world, up *server) error {
			return shake(w, up, &tls.Config{ServerName: "evil.test"})
		}, `the TLS server name "evil.test" is not the tunnel's host`},
		{"a name below it", func(w *world, up *server) error {
			return shake(w, up, &tls.Config{ServerName: "x." + apiHost})
		}, `the TLS server name "x.` + apiHost + `" is not the tunnel's host`},
		{"no name", func(w *world, up *server) error {
			return shake(w, up, &tls.Config{ServerName: "127.0.0.1"}) // an address is no server name, so it sends none
		}, "the ClientHello names no server"},
		{"a second name, encrypted", func(w *world, up *server) error {
			return shake(w, up, &tls.Config{ServerName: "inner.test", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: ech})
		}, "the ClientHello has a part that is encrypted (ECH), and that could be for another host than " + apiHost},
		{"plain HTTP", says("GET / HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n"), "no TLS ClientHello"},
		{"SSH", says("SSH-2.0-OpenSSH_9.2\r\n"), "no TLS ClientHello"},
		{"SSLv2", says("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"), "no TLS ClientHello"},
		{"TLS that does not begin with a hello", says("\x17\x03\x03\x00\x05hello"), "no TLS ClientHello"},
		{"half a hello", says("\x16\x03\x01\x00\x40\x01\x00", "hang up"), "closed waiting for a ClientHello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, up := pinned(t, func(http.ResponseWriter, *http.Request) {})
			if c.say(w, up) == nil {
				t.Error("it was carried")
			}
			e := w.ledger.wait(t, 1)
			refused := !strings.HasPrefix(c.reason, "closed")
			if e.Reason != c.reason || e.Allowed == refused || e.Upstream != "" || e.BytesOut != 0 {
				t.Errorf("record %+v", e)
			}
			if up.conns.get() != 0 || len(w.names.touched()) != 0 {
				t.Error("the upstream was dialled")
			}
			// Control: the same way with the right name.
			if err := shake(w, up, &tls.Config{ServerName: apiHost}); err != nil {
				t.Errorf("control: %v", err)
			}
		})
	}
}

var errCut = errors.New("the connection was closed")

// says sends bytes that are no hello, and waits for the end.
func says(what string, then ...string) func(*world, *server) error {
	return func(w *world, _ *server) error {
		conn := w.tunnel(byToken, apiHost+":443")
		try(io.WriteString(conn, what))(w.t)
		if then != nil {
			conn.Close()
			return errCut
		}
		if answer, _ := io.ReadAll(conn); len(answer) > 0 {
			return nil
		}
		return errCut
	}
}

// Nobody but the tunnel's own client opens TLS, so a request that the proxy would have
// to send by itself has no place here.
func TestPinnedServiceTakesNoRequests(t *testing.T) {
	w, up := pinned(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	res := try(w.absolute().Get("http://" + apiHost + ":443/"))(t)
	if e := reason(t, res); res.StatusCode != 403 || e.Code != "unread_service" {
		t.Errorf("%s %+v", res.Status, e)
	}
	conn := w.dial(byToken)
	defer conn.Close()
	res = raw(t, conn, "GET https://"+apiHost+"/ HTTP/1.1\r\nHost: "+apiHost+"\r\nProxy-Authorization: "+w.basic()+"\r\n\r\n")
	if e := reason(t, res); res.StatusCode != 403 || e.Code != "unread_service" {
		t.Errorf("%s %+v", res.Status, e)
	}
	if up.conns.get() != 0 {
		t.Error("the upstream was dialled")
	}
}

func TestPinnedTunnelClosesWhenItIsToBeRead(t *testing.T) {
	w, up := pinned(t, mirror)
	conn := tls.Client(w.tunnel(byToken, apiHost+":443"), &tls.Config{RootCAs: up.pool(), ServerName: apiHost, NextProtos: []string{"http/1.1"}})
	must(t, conn.Handshake())
	w.replace(up.bearer(apiHost))
	ended(t, conn)
	if e := w.ledger.wait(t, 1); e.Reason != reasonRegranted {
		t.Errorf("record %+v", e)
	}
	// And the other way round.
	read := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	w.replace(up.opaque(apiHost))
	ended(t, read)
	if e := w.ledger.wait(t, 2); e.Reason != reasonRegranted {
		t.Errorf("record %+v", e)
	}
}

func TestUnreachablePinnedUpstreamIsRecorded(t *testing.T) {
	closed := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	addr := netip.MustParseAddrPort(closed.Addr().String())
	closed.Close()
	service := policy.Service{Name: "pinned", Host: apiHost, Auth: policy.Auth{Type: policy.Passthrough}, TLS: policy.TLSPassthrough}
	for addr, reason := range map[netip.AddrPort]string{
		addr:             apiHost + ":443 refuses connections",
		netip.AddrPort{}: "refusing to connect to " + apiHost + " at 127.0.0.1: loopback address",
	} {
		service.Upstream.Address = addr
		w := newWorld(t, setup{services: services(service)})
		w.names.addrs[apiHost+"."] = "127.0.0.1"
		conn := tls.Client(w.tunnel(byToken, apiHost+":443"), &tls.Config{ServerName: apiHost})
		if conn.Handshake() == nil {
			t.Error("it was carried")
		}
		if e := w.ledger.wait(t, 1); e.Reason != reason || e.Allowed != addr.IsValid() {
			t.Errorf("record %+v", e)
		}
	}
}
