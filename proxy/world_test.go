package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/av-project/av/proxy/ca"
	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func TestMain(m *testing.M) {
	if !servesBench() {
		goleak.VerifyTestMain(m)
	}
}

// patience is how long a test waits for what should come at once.
const patience = 10 * time.Second

const (
	secret    = "s3cret-0f-the-vault"
	apiSecret = "k3y-0f-the-vault"
	apiHost   = "api.vendor.test"
)

// world is a vault, a proxy in front of it, and names that lead where a test says.
type world struct {
	t         testing.TB
	home      string
	vault     *vault.Vault
	opened    vault.Opened
	authority *ca.Authority
	proxy     *Proxy
	addr      string
	ledger    *ledger
	names     *names
	logs      *lockedBuffer
	stop      func()
}

// setup is what a test may want otherwise.
type setup struct {
	services  []policy.Service
	secrets   map[string]string // credentials besides the vendor's
	allow     []string
	unmatched policy.Unmatched
	roots     *x509.CertPool
	egress    []egress.Option
	listener  func(net.Listener) net.Listener
	now       func() time.Time
	holdFor   time.Duration
	limits    vault.Limits
	openFor   time.Duration
	headFor   time.Duration
}

func newWorld(t testing.TB, s setup) *world {
	t.Helper()
	w := &world{t: t, home: t.TempDir() + "/av", ledger: newLedger(), names: &names{addrs: map[string]string{}, routes: map[string]string{}}, logs: &lockedBuffer{}}
	if s.now == nil {
		s.now = time.Now
	}
	if s.roots == nil {
		s.roots = x509.NewCertPool()
	}
	ctx := context.Background()
	opts := vault.Options{Home: w.home, Now: s.now}
	must(t, vault.Init(ctx, opts, nil))
	w.vault = try(vault.Open(ctx, opts))(t)
	must(t, w.vault.SetCredential(ctx, vault.Owner(), "VENDOR_TOKEN", vault.NewValue([]byte(secret))))
	must(t, w.vault.SetCredential(ctx, vault.Owner(), "VENDOR_KEY", vault.NewValue([]byte(apiSecret))))
	for key, value := range s.secrets {
		must(t, w.vault.SetCredential(ctx, vault.Owner(), key, vault.NewValue([]byte(value))))
	}
	must(t, w.vault.SetServices(ctx, vault.Owner(), s.services))
	certPEM, key, err := w.vault.Authority(ctx, vault.Owner())
	must(t, err)
	w.authority = try(ca.New(certPEM, key.Open(), s.now))(t)
	w.opened = w.session(s)

	w.proxy = try(New(Config{
		Authority: w.authority, Sessions: w.vault, Recorder: w.ledger, Guard: egress.New(w.names, w.names, s.egress...),
		Logger: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    s.now, RootCAs: s.roots,
	}))(t)
	if s.holdFor > 0 {
		w.proxy.holdFor = s.holdFor
	}
	if s.openFor > 0 {
		w.proxy.openFor = s.openFor
	}
	if s.headFor > 0 {
		w.proxy.headFor = s.headFor
	}
	ln := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	w.addr = ln.Addr().String()
	if s.listener != nil {
		ln = s.listener(ln)
	}
	served, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.proxy.Serve(served, ln) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(patience):
			t.Error("Serve does not return")
		}
	})
	t.Cleanup(func() {
		w.stop()
		must(t, w.vault.Close())
	})
	return w
}

// session opens one more session in the vault.
func (w *world) session(s setup) vault.Opened {
	w.t.Helper()
	g := vault.Grant{Run: "run-1", Unmatched: s.unmatched, Limits: s.limits}
	for _, a := range s.allow {
		g.Allow = append(g.Allow, try(policy.ParseTarget(a, 443))(w.t))
	}
	return try(w.vault.OpenSession(context.Background(), vault.Owner(), g))(w.t)
}

// another is the same world for another run.
func (w *world) another(s setup) *world {
	w.t.Helper()
	other := *w
	other.opened = w.session(s)
	return &other
}

// records stops the proxy and returns what was recorded: all of it, for sure. There
// always is something, so who looks at each record has looked at one.
func (w *world) records() []vault.Entry {
	w.t.Helper()
	w.stop()
	entries := w.ledger.all()
	if len(entries) == 0 {
		w.t.Error("nothing was recorded")
	}
	return entries
}

// roots trust what the proxy mints.
func (w *world) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.authority.CertPEM())
	return pool
}

// way is how a client reaches the proxy.
type way string

const (
	byCertificate way = "client certificate over TLS"
	byToken       way = "token over loopback"
)

var ways = []way{byCertificate, byToken}

// dial opens a connection to the proxy.
func (w *world) dial(by way) net.Conn {
	w.t.Helper()
	if by == byToken {
		return try(net.Dial("tcp", w.addr))(w.t)
	}
	key := w.opened.KeyPEM.Open()
	cert := try(tls.X509KeyPair(w.opened.CertPEM, key))(w.t)
	return try(tls.Dial("tcp", w.addr, &tls.Config{
		RootCAs: w.roots(), ServerName: ServerName, Certificates: []tls.Certificate{cert}, Time: w.proxy.now,
	}))(w.t)
}

func (w *world) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString(append([]byte("av:"), w.opened.Token.Open()...))
}

// connect asks for a tunnel and returns the answer, and the connection if it is 200.
func (w *world) connect(by way, target string) (net.Conn, *http.Response) {
	w.t.Helper()
	conn := w.dial(by)
	must(w.t, conn.SetDeadline(time.Now().Add(patience)))
	head := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if by == byToken {
		head += "Proxy-Authorization: " + w.basic() + "\r\n"
	}
	try(io.WriteString(conn, head+"\r\n"))(w.t)
	// By the byte: what follows the answer is not for it.
	res := try(http.ReadResponse(bufio.NewReader(iotest.OneByteReader(conn)), &http.Request{Method: "CONNECT"}))(w.t)
	if res.StatusCode != http.StatusOK {
		body := try(io.ReadAll(res.Body))(w.t)
		conn.Close()
		res.Body = io.NopCloser(bytes.NewReader(body))
		return nil, res
	}
	return conn, res
}

// tunnel is connect where the answer has to be 200.
func (w *world) tunnel(by way, target string) net.Conn {
	w.t.Helper()
	conn, res := w.connect(by, target)
	if conn == nil {
		w.t.Fatalf("CONNECT %s: %s", target, res.Status)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// tls opens a tunnel and does TLS inside it.
func (w *world) tls(by way, target, sni string, protos ...string) (*tls.Conn, error) {
	w.t.Helper()
	conn := tls.Client(w.tunnel(by, target), &tls.Config{RootCAs: w.roots(), ServerName: sni, NextProtos: protos, Time: w.proxy.now})
	return conn, conn.Handshake()
}

// client sends every request through a tunnel, in HTTP/2 if it can.
func (w *world) client(by way) *http.Client { return w.clientOf(by, true) }

func (w *world) clientOf(by way, h2 bool) *http.Client {
	transport := &http.Transport{
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			conn, res := w.connect(by, addr)
			if conn == nil {
				return nil, fmt.Errorf("CONNECT: %s", res.Status)
			}
			return conn, conn.SetDeadline(time.Time{})
		},
		TLSClientConfig:    &tls.Config{RootCAs: w.roots(), Time: w.proxy.now},
		ForceAttemptHTTP2:  h2,
		DisableCompression: true,

		MaxIdleConnsPerHost: 64,
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// absolute sends requests in absolute form, as a client does for http:// URLs.
func (w *world) absolute() *http.Client {
	u := &url.URL{Scheme: "http", Host: w.addr, User: url.UserPassword("av", string(w.opened.Token.Open()))}
	transport := &http.Transport{Proxy: http.ProxyURL(u), DisableCompression: true}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// raw sends bytes on a connection and returns the response to them.
func raw(t testing.TB, conn net.Conn, request string) *http.Response {
	t.Helper()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	try(io.WriteString(conn, request))(t)
	method, _, _ := strings.Cut(request, " ")
	return try(http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method}))(t)
}

// ended waits for the other side to close conn.
func ended(t testing.TB, conn net.Conn) {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, conn)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Error("the connection stays open")
	}
}

// without takes a credential out of the vault, from under the service that needs it.
func (w *world) without(key string) {
	w.t.Helper()
	if key != "" {
		must(w.t, w.vault.DeleteCredential(context.Background(), vault.Owner(), key, true))
	}
}
