package proxy

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

func TestWithoutIdentityNothingIsCarried(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	token := string(w.opened.Token.Open())
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	connect := "CONNECT " + apiHost + ":443 HTTP/1.1\r\nHost: " + apiHost + ":443\r\n"
	for _, c := range []struct{ name, request string }{
		{"no header", connect},
		{"unknown token", connect + "Proxy-Authorization: Bearer nonsense\r\n"},
		{"unknown token in Basic", connect + "Proxy-Authorization: " + basic("av:nonsense") + "\r\n"},
		{"another user", connect + "Proxy-Authorization: " + basic("root:"+token) + "\r\n"},
		{"empty token", connect + "Proxy-Authorization: " + basic("av:") + "\r\n"},
		{"no base64", connect + "Proxy-Authorization: Basic !!!\r\n"},
		{"another scheme", connect + "Proxy-Authorization: Digest " + token + "\r\n"},
		{"two headers", connect + "Proxy-Authorization: Bearer " + token + "\r\nProxy-Authorization: Bearer nonsense\r\n"},
		{"the upstream's header", connect + "Authorization: Bearer " + token + "\r\n"},
		{"absolute form", "GET http://" + apiHost + "/ HTTP/1.1\r\nHost: " + apiHost + "\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := w.dial(byToken)
			defer conn.Close()
			res := raw(t, conn, c.request+"\r\n")
			if body := read(t, res); res.StatusCode != 407 || res.Header.Get("Proxy-Authenticate") != `Basic realm="av"` ||
				res.Header.Get("Av-Error") != "no_session" || strings.Contains(body, token) {
				t.Errorf("%s %v %s", res.Status, res.Header, body)
			}
		})
	}
	if touched := w.names.touched(); len(touched) != 0 {
		t.Errorf("the proxy went to %s", touched)
	}
	for _, e := range w.records() {
		if e.Allowed || e.Status != 407 || e.Session != "" {
			t.Errorf("record %+v", e)
		}
	}
}

func TestTokenIsTakenAsBasicOrBearer(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	for _, header := range []string{w.basic(), "bearer " + string(w.opened.Token.Open()), "BASIC " + strings.TrimPrefix(w.basic(), "Basic ")} {
		conn := w.dial(byToken)
		res := raw(t, conn, "CONNECT "+apiHost+":443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+header+"\r\n\r\n")
		if res.StatusCode != 200 {
			t.Errorf("%s", res.Status)
		}
		conn.Close()
	}
}

// Anybody can make a certificate; only the session's is known.
func TestUnknownCertificateIsNoIdentity(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	cert, _ := selfSigned(t, "av session "+w.opened.ID)
	conn := try(tls.Dial("tcp", w.addr, &tls.Config{RootCAs: w.roots(), ServerName: ServerName, Certificates: []tls.Certificate{cert}}))(t)
	defer conn.Close()
	// Nor does a token lend it one: the certificate speaks for the connection.
	res := raw(t, conn, "CONNECT "+apiHost+":443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+w.basic()+"\r\n\r\n")
	if read(t, res); res.StatusCode != 407 {
		t.Errorf("%s", res.Status)
	}
}

func TestTokenAlsoIdentifiesOverTLS(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	conn := try(tls.Dial("tcp", w.addr, &tls.Config{RootCAs: w.roots(), ServerName: ServerName}))(t)
	defer conn.Close()
	res := raw(t, conn, "CONNECT "+apiHost+":443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+w.basic()+"\r\n\r\n")
	if res.StatusCode != 200 {
		t.Errorf("%s", res.Status)
	}
}

func TestProxyShowsOneNameToItsClients(t *testing.T) {
	w := newWorld(t, setup{})
	for _, name := range []string{apiHost, "evil.test", "127.0.0.1"} {
		if conn, err := tls.Dial("tcp", w.addr, &tls.Config{RootCAs: w.roots(), ServerName: name}); err == nil {
			conn.Close()
			t.Errorf("it has a certificate for %s", name)
		}
	}
}

// elsewhere is a listener whose clients come from another machine.
type elsewhere struct{ net.Listener }

type foreignConn struct{ net.Conn }

func (l elsewhere) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return foreignConn{c}, err
}

func (foreignConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.83.0.2:40000"))
}

func TestPlainIsRefusedFromAnotherMachine(t *testing.T) {
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) {}, apiHost)
	w := newWorld(t, setup{
		services: services(up.bearer(apiHost)),
		listener: func(l net.Listener) net.Listener { return elsewhere{l} },
	})
	conn := w.dial(byToken)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := conn.Write([]byte("CONNECT " + apiHost + ":443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: " + w.basic() + "\r\n\r\n")); err == nil {
		ended(t, conn)
	}
	conn.Close()
	if e := w.ledger.wait(t, 1); e.Reason != "plain connection from another machine" || e.Allowed {
		t.Errorf("record %+v", e)
	}
	// Control: with its certificate the other machine is served.
	res := try(w.client(byCertificate).Get("https://" + apiHost + "/"))(t)
	if read(t, res); res.StatusCode != 200 {
		t.Errorf("over TLS: %s", res.Status)
	}
}

func TestOnlyLoopbackIsLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"10.0.0.1:1": false, "0.0.0.0:1": false, "[fe80::1%eth0]:1": false, "[::ffff:10.0.0.1]:1": false,
	} {
		if got := isLoopback(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if isLoopback(&net.UnixAddr{Name: "@"}) {
		t.Error("an address that cannot be read is loopback")
	}
}

// broken is a vault that cannot be read.
type broken struct{}

func (broken) SessionByToken(context.Context, string) (*vault.Session, error) {
	return nil, errors.New("disk on fire")
}
func (broken) SessionByCertificate(context.Context, []byte) (*vault.Session, error) {
	return nil, errors.New("disk on fire")
}

func TestUnreadableSessionsAreNotUnknownSessions(t *testing.T) {
	w := newWorld(t, setup{})
	w.proxy.sessions = broken{}
	for _, by := range ways {
		if _, res := w.connect(by, apiHost+":443"); res.StatusCode != 503 || strings.Contains(read(t, res), "fire") {
			t.Errorf("%s: %s", by, res.Status)
		}
	}
}
