package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"

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
	wg   sync.WaitGroup
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
	var accepting sync.WaitGroup
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
			up.wg.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(2 * patience))
				r := bufio.NewReader(io.TeeReader(conn, seen))
				play(conn, r)
				_, _ = io.Copy(io.Discard, r)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); accepting.Wait(); up.wg.Wait() })
	return up
}

// received waits for the ends of all connections, and gives what came on each. The
// proxy has to be stopped.
func (up *tap) received() []string {
	up.wg.Wait()
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

// arrived is the whole requests in what reached an upstream, each as
// `METHOD TARGET "BODY" TRAILERS`, and what is there of one that is not whole.
func arrived(all []string) (whole []string, rest string, err error) {
	for _, s := range all {
		for s != "" {
			request, n, err := strictly(s)
			if err != nil {
				return whole, s, err
			}
			if n == 0 {
				rest += s
				break
			}
			whole, s = append(whole, request), s[n:]
		}
	}
	return whole, rest, nil
}

// strictly reads one request as the narrowest of servers would: nothing optional, and
// one framing. With n = 0 it does not end in s.
func strictly(s string) (request string, n int, err error) {
	head, _, ok := strings.Cut(s, "\r\n\r\n")
	if !ok {
		return "", 0, nil
	}
	n = len(head) + 4
	lines := strings.Split(head, "\r\n")
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 || parts[2] != "HTTP/1.1" || !strings.HasPrefix(parts[1], "/") || !httpguts.ValidHeaderFieldName(parts[0]) {
		return "", 0, fmt.Errorf("request line %q", lines[0])
	}
	fields, err := strictFields(lines[1:])
	if err != nil {
		return "", 0, err
	}
	length, chunked := fields["content-length"], fields["transfer-encoding"]
	if len(fields["host"]) != 1 || len(length)+len(chunked) > 1 || len(chunked) == 1 && chunked[0] != "chunked" {
		return "", 0, fmt.Errorf("hosts %q, lengths %q, encodings %q", fields["host"], length, chunked)
	}
	var body, trailer string
	switch {
	case len(length) == 1:
		size, err := strconv.ParseUint(length[0], 10, 31)
		if err != nil || strconv.FormatUint(size, 10) != length[0] {
			return "", 0, fmt.Errorf("length %q", length[0])
		}
		if uint64(len(s)-n) < size {
			return "", 0, nil
		}
		body = s[n : n+int(size)]
		n += int(size)
	case len(chunked) == 1:
		m := 0
		if body, trailer, m, err = strictChunks(s[n:]); m == 0 || err != nil {
			return "", 0, err
		}
		n += m
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %q %s", parts[0], parts[1], body, trailer)), n, nil
}

func strictFields(lines []string) (map[string][]string, error) {
	fields := map[string][]string{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ": ")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || strings.TrimSpace(value) != value {
			return nil, fmt.Errorf("field %q", line)
		}
		name = strings.ToLower(name)
		fields[name] = append(fields[name], value)
	}
	return fields, nil
}

func strictChunks(s string) (body, trailer string, n int, err error) {
	for {
		line, rest, ok := strings.Cut(s[n:], "\r\n")
		if !ok {
			return "", "", 0, nil
		}
		size, err := strconv.ParseUint(line, 16, 31)
		if err != nil || strconv.FormatUint(size, 16) != line {
			return "", "", 0, fmt.Errorf("chunk size %q", line)
		}
		n += len(line) + 2
		if size == 0 {
			end := strings.Index("\r\n"+rest, "\r\n\r\n")
			if end < 0 {
				return "", "", 0, nil
			}
			trailer = strings.TrimSpace(rest[:end])
			if trailer != "" {
				if _, err := strictFields(strings.Split(trailer, "\r\n")); err != nil {
					return "", "", 0, err
				}
			}
			return body, trailer, n + end + 2, nil
		}
		if uint64(len(rest)) < size+2 {
			return "", "", 0, nil
		}
		if rest[size:size+2] != "\r\n" {
			return "", "", 0, fmt.Errorf("chunk end %q", rest[size:size+2])
		}
		body += rest[:size]
		n += int(size) + 2
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
