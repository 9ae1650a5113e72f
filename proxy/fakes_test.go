package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// server is a server of the fake internet.
type server struct {
	*httptest.Server
	ca    string // PEM
	conns *counter
}

// newUpstream serves handle as names over TLS, HTTP/2 included.
func newUpstream(t testing.TB, handle http.HandlerFunc, names ...string) *server {
	t.Helper()
	return startUpstream(t, handle, true, names...)
}

func startUpstream(t testing.TB, handle http.HandlerFunc, h2 bool, names ...string) *server {
	t.Helper()
	up := newUnstarted(t, handle, h2, names...)
	up.StartTLS()
	return up
}

// newUnstarted leaves what a test wants otherwise to it, before StartTLS.
func newUnstarted(t testing.TB, handle http.HandlerFunc, h2 bool, names ...string) *server {
	t.Helper()
	cert, pool := selfSigned(t, names...)
	s := httptest.NewUnstartedServer(handle)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.EnableHTTP2 = h2
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	up := &server{Server: s, ca: pool, conns: &counter{}}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			up.conns.add()
		}
	}
	t.Cleanup(s.Close)
	return up
}

func (s *server) address() netip.AddrPort {
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// bearer is a service for host whose upstream is s.
func (s *server) bearer(host string) policy.Service {
	return policy.Service{
		Name: "vendor", Host: host, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
		Upstream: policy.Upstream{Address: s.address(), CA: s.ca},
	}
}

func (s *server) passthrough(name, host string) policy.Service {
	return policy.Service{
		Name: name, Host: host, Auth: policy.Auth{Type: policy.Passthrough},
		Upstream: policy.Upstream{Address: s.address(), CA: s.ca},
	}
}

// vendor is the world of most tests: one upstream, one bearer service for it.
func vendor(t testing.TB, handle http.HandlerFunc) (*world, *server) {
	t.Helper()
	up := newUpstream(t, handle, apiHost)
	return newWorld(t, setup{services: []policy.Service{up.bearer(apiHost)}}), up
}

// vendorH1 is vendor with an upstream that speaks HTTP/1 only.
func vendorH1(t testing.TB, handle http.HandlerFunc) (*world, *server) {
	t.Helper()
	up := startUpstream(t, handle, false, apiHost)
	return newWorld(t, setup{services: []policy.Service{up.bearer(apiHost)}}), up
}

func selfSigned(t testing.TB, names ...string) (tls.Certificate, string) {
	t.Helper()
	key := try(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		DNSNames: names,
	}
	der := try(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(t)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// ledger keeps records in memory.
type ledger struct {
	mu      sync.Mutex
	entries []vault.Entry
	more    sync.Cond
}

func newLedger() *ledger {
	l := &ledger{}
	l.more.L = &l.mu
	return l
}

func (l *ledger) Record(e vault.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	l.more.Broadcast()
}

func (l *ledger) all() []vault.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]vault.Entry(nil), l.entries...)
}

// wait waits for the nth record, from 1, and returns it.
func (l *ledger) wait(t testing.TB, n int) vault.Entry {
	t.Helper()
	late := time.AfterFunc(patience, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.more.Broadcast()
	})
	defer late.Stop()
	began := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.entries) < n {
		if time.Since(began) >= patience {
			t.Fatalf("%d records came, not %d", len(l.entries), n)
		}
		l.more.Wait()
	}
	return l.entries[n-1]
}

// names is a resolver and a dialer that remember what they were asked for. An address
// with a route leads there; all others are dialled as they are.
type names struct {
	mu             sync.Mutex
	addrs          map[string]string // name with dot → address
	routes         map[string]string // address:port → loopback address:port
	asked, dialled []string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, host)
	addr, ok := n.addrs[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr(addr)}, nil
}

func (n *names) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialled = append(n.dialled, address)
	if route, ok := n.routes[address]; ok {
		address = route
	}
	n.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// leads makes host's address lead to a loopback server, as a public one would.
func (n *names) leads(host, address string, port uint16, server net.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[host+"."] = address
	n.routes[netip.AddrPortFrom(netip.MustParseAddr(address), port).String()] = server.String()
}

func (n *names) touched() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append(append([]string(nil), n.asked...), n.dialled...)
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *counter) get() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// try takes a result and its error, and gives the result: try(f())(t).
func try[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func read(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	return string(try(io.ReadAll(res.Body))(t))
}

// newPlain serves handle without TLS and returns its address.
func newPlain(t testing.TB, handle http.HandlerFunc) net.Addr {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.Listener.Addr()
}

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) get() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
