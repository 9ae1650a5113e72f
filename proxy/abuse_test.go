package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

const plainHost = "plain.test"

// tap is an upstream that keeps every byte that reached it, after TLS where it has any.
type tap struct {
	addr netip.AddrPort
	ca   string // PEM; "" without TLS

	mu   sync.Mutex
	seen []*bytes.Buffer // of each connection
	stop func()          // takes no more connections, and waits for the ends of those there are
}

// newTap answers each connection as play says, and reads what play leaves.
func newTap(t testing.TB, secure bool, play func(conn net.Conn, r *bufio.Reader)) *tap {
	t.Helper()
	ln := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	up := &tap{addr: netip.MustParseAddrPort(ln.Addr().String())}
	if secure {
		cert, pem := selfSigned(t, apiHost)
		up.ca = pem
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	var accepting, playing sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			seen := &bytes.Buffer{}
			up.mu.Lock()
			up.seen = append(up.seen, seen)
			up.mu.Unlock()
			playing.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(2 * patience))
				r := bufio.NewReader(io.TeeReader(conn, seen))
				play(conn, r)
				_, _ = io.Copy(io.Discard, r)
			})
		}
	})
	up.stop = func() { ln.Close(); accepting.Wait(); playing.Wait() }
	t.Cleanup(up.stop)
	return up
}

// received waits for the ends of all connections, and gives what came on each. The
// proxy has to be stopped.
func (up *tap) received() []string {
	up.stop()
	up.mu.Lock()
	defer up.mu.Unlock()
	var all []string
	for _, b := range up.seen {
		all = append(all, b.String())
	}
	return all
}

// obliging answers each request that net/http reads, which is more than it should.
func obliging(conn net.Conn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

// leg is a place where the proxy reads HTTP/1.
type leg struct {
	name, host, prefix string
	// open gives a connection on which requests for host can be sent.
	open func(t *testing.T, w *world) net.Conn
}

var legs = []leg{
	{"TLS tunnel", apiHost, "", func(t *testing.T, w *world) net.Conn {
		return try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	}},
	{"plain tunnel", plainHost, "", func(t *testing.T, w *world) net.Conn { return w.tunnel(byToken, plainHost+":80") }},
	{"absolute form", plainHost, "http://" + plainHost, func(t *testing.T, w *world) net.Conn {
		conn := w.dial(byCertificate)
		t.Cleanup(func() { conn.Close() })
		return conn
	}},
}

// to fills in where a request goes.
func (l leg) to(request string) string {
	return strings.NewReplacer("{T}", l.prefix, "{H}", l.host).Replace(request)
}

// world has up behind the host of the leg.
func (l leg) world(t *testing.T, play func(net.Conn, *bufio.Reader)) (*world, *tap) {
	t.Helper()
	if l.host == plainHost {
		up := newTap(t, false, play)
		w := newWorld(t, setup{allow: []string{plainHost + ":80"}})
		w.names.leads(plainHost, "8.8.8.8", 80, net.TCPAddrFromAddrPort(up.addr))
		return w, up
	}
	up := newTap(t, true, play)
	return newWorld(t, setup{services: services(up.bearer())}), up
}

func (up *tap) bearer() policy.Service {
	return policy.Service{
		Name: "vendor", Host: apiHost, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
		Upstream: policy.Upstream{Address: up.addr, CA: up.ca},
	}
}

// statuses reads answers until the connection ends, or there are n of them.
func statuses(t testing.TB, conn net.Conn, n int) (codes []int, closed bool) {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	r := bufio.NewReader(conn)
	for len(codes) < n {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Errorf("the connection stays open, after %v", codes)
			}
			return codes, true
		}
		_, _ = io.Copy(io.Discard, res.Body)
		codes = append(codes, res.StatusCode)
	}
	return codes, false
}

// bystander is another session on the same proxy. While an attack is under way, it has to
// get its answers.
type bystander struct {
	*world
	client *http.Client
}

func (w *world) bystander() *bystander {
	other := *w
	other.opened = w.session(setup{allow: []string{"quiet.test:80"}})
	addr := newPlain(w.t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "quiet") })
	w.names.leads("quiet.test", "8.8.4.4", 80, addr)
	return &bystander{&other, other.absolute()}
}

func (b *bystander) isServed() {
	b.t.Helper()
	res, err := b.client.Get("http://quiet.test/")
	if err != nil {
		b.t.Errorf("another session gets no answer: %v", err)
		return
	}
	if got := read(b.t, res); got != "quiet" {
		b.t.Errorf("another session gets %s %q", res.Status, got)
	}
}

// but leaves a bystander's records out.
func (b *bystander) but(entries []vault.Entry) (others []vault.Entry) {
	for _, e := range entries {
		if e.Session != b.opened.ID {
			others = append(others, e)
		}
	}
	return others
}

// others waits for n records that are not its own, for they come when the answers have
// gone, and then for all.
func (b *bystander) others(n int) []vault.Entry {
	for late := time.Now().Add(patience); len(b.but(b.ledger.all())) < n && time.Now().Before(late); {
		b.isServed()
	}
	return b.but(b.records())
}

// isServedDuring asks again and again until attack returns, and at least once.
func (b *bystander) isServedDuring(attack func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { defer cancel(); attack() }()
	for {
		b.isServed()
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// weight is what the process holds, once nothing more can be collected.
type weight struct {
	heap       uint64
	goroutines int
}

func weigh() weight {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what a finalizer or a pool held on to
	runtime.ReadMemStats(&m)
	return weight{m.HeapAlloc, runtime.NumGoroutine()}
}

// grewBy fails where the process holds more than that much more than before.
func (before weight) grewBy(t testing.TB, heap uint64, goroutines int) {
	t.Helper()
	now := weigh()
	if now.heap > before.heap+heap {
		t.Errorf("the heap grew from %d to %d KiB", before.heap>>10, now.heap>>10)
	}
	if now.goroutines > before.goroutines+goroutines {
		t.Errorf("from %d goroutines to %d", before.goroutines, now.goroutines)
	}
}
