package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault/policy"
)

// bubble is a world without a network, for tests in which the time is synctest's: what
// waits in it waits on nothing that the bubble does not know.
type bubble struct {
	*world
	clients   *pipes
	upstreams *pipes
	cert      tls.Certificate
}

func newBubble(t *testing.T) *bubble {
	t.Helper()
	b := &bubble{clients: newPipes(), upstreams: newPipes()}
	cert, pem := selfSigned(t, apiHost)
	b.cert = cert
	b.world = newWorld(t, setup{
		services: services(policy.Service{
			Name: "vendor", Host: apiHost, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
			Upstream: policy.Upstream{Address: netip.MustParseAddrPort("203.0.113.10:443"), CA: pem},
		}),
		listener: func(ln net.Listener) net.Listener { ln.Close(); return b.clients },
	})
	b.proxy.guard = egress.New(b.names, b.upstreams)
	t.Cleanup(b.upstreams.shutAll)
	return b
}

// head is the head of a request in absolute form, with more lines.
func (b *bubble) head(method string, lines ...string) string {
	return method + " https://" + apiHost + "/ HTTP/1.1\r\nHost: " + apiHost + "\r\nProxy-Authorization: " + b.basic() + "\r\n" +
		strings.Join(append(lines, "", ""), "\r\n")
}

// client opens a connection to the proxy.
func (b *bubble) client(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := try(b.clients.DialContext(t.Context(), "", ""))(t)
	t.Cleanup(func() { conn.Close() })
	return conn, bufio.NewReader(conn)
}

// reply reads an answer and its body.
func reply(t *testing.T, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res := try(http.ReadResponse(r, &http.Request{Method: method}))(t)
	body := try(io.ReadAll(res.Body))(t)
	return res, string(body)
}

// serves plays an upstream on each connection to it, over TLS.
func (b *bubble) serves(t *testing.T, protos []string, play func(*tls.Conn, *bufio.Reader)) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := b.upstreams.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{b.cert}, NextProtos: protos})
				if secure.Handshake() == nil {
					play(secure, bufio.NewReader(secure))
				}
			})
		}
	})
	t.Cleanup(func() { b.stop(); b.upstreams.shutAll(); wg.Wait() })
}

// pipes are a listener and a dialer whose connections are net.Pipe's.
type pipes struct {
	conns chan net.Conn
	shut  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), shut: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.shut:
		return nil, net.ErrClosed
	}
}

func (p *pipes) shutAll()       { p.once.Do(func() { close(p.shut) }) }
func (p *pipes) Close() error   { p.shutAll(); return nil }
func (p *pipes) Addr() net.Addr { return loopbackAddr }

func (p *pipes) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- localConn{far}:
		return localConn{near}, nil
	case <-p.shut:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var loopbackAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// localConn says that it comes from this machine: a token may pass on it.
type localConn struct{ net.Conn }

func (localConn) RemoteAddr() net.Addr { return loopbackAddr }
func (localConn) LocalAddr() net.Addr  { return loopbackAddr }
