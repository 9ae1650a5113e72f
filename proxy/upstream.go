package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/av-project/av/vault/policy"
)

// upstream is the connections to one target under one rule.
type upstream struct {
	transport *http.Transport
	// What its connections have spoken so far.
	http1, http2 atomic.Bool

	// These are the lease's to lock. A retired upstream is found no more, and closes
	// with its last trip.
	trips   int
	retired bool
	close   context.CancelFunc
}

// retire closes the connections that nobody uses, all of them once nobody uses any. The
// transport would keep an HTTP/2 connection on which a request was still open.
func (u *upstream) retire() {
	u.retired = true
	u.transport.CloseIdleConnections()
	if u.trips == 0 {
		u.close()
	}
}

func (l *lease) newUpstream(verdict policy.Verdict, target policy.Target) *upstream {
	ctx, cancel := context.WithCancel(l.ctx)
	u := &upstream{close: cancel}
	roots := l.roots
	grant := verdict.Dial()
	if service := verdict.Service; service != nil && service.Upstream.CA != "" {
		// This one and no other: whoever names the CA of a service does not want a
		// certificate from any public one to do.
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(service.Upstream.CA))
	}
	u.transport = &http.Transport{
		// No Proxy: an HTTP_PROXY in our own environment may well be ourselves.
		DialContext: func(asked context.Context, _, _ string) (net.Conn, error) {
			return l.dial(asked, ctx, target, grant)
		},
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(maxIdlePerUpstream),
			VerifyConnection: func(state tls.ConnectionState) error {
				spoken := &u.http1
				if state.NegotiatedProtocol == "h2" {
					spoken = &u.http2
				}
				spoken.Store(true)
				return nil
			},
		},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    upstreamTLSTimeout,
		ExpectContinueTimeout:  continueTimeout,
		IdleConnTimeout:        upstreamIdleTimeout,
		MaxIdleConnsPerHost:    maxIdlePerUpstream,
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
		ReadBufferSize:         upstreamReadBuffer,
		WriteBufferSize:        upstreamWriteBuffer,
		// A body reaches the client in the coding in which it was sent.
		DisableCompression: true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
			MaxReceiveBufferPerStream: maxUnreadAnswer,
		},
	}
	return u
}

// dial opens a connection that ends with its upstream, life, at the latest.
func (l *lease) dial(ctx, life context.Context, target policy.Target, grant netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	conn, err := l.guard.Dial(ctx, target.Host, target.Port, grant)
	if err != nil {
		return nil, err
	}
	return &leasedConn{conn, closeWhenDone(life, conn)}, nil
}

type leasedConn struct {
	net.Conn
	stop func() bool
}

func (c *leasedConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

func (c *leasedConn) CloseWrite() error { return closeWrite(c.Conn) }

// sendOnce keeps the transport from sending a request again by its own decision, as it
// does with one that it can repeat when a kept connection breaks. The client knows
// better whether to ask twice.
func (u *upstream) sendOnce(r *http.Request) {
	if r.Body != nil {
		return // what was read from the client cannot be read again
	}
	// The transport takes these as leave to repeat. In this spelling it sends them, but
	// does not look.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := r.Header[name]; ok {
			delete(r.Header, name)
			r.Header[strings.ToLower(name)] = values
		}
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
	default:
		return
	}
	// HTTP/2 repeats only what the upstream says it has not begun.
	if u.http1.Load() || !u.http2.Load() {
		r.Body = emptyBody{}
		r.TransferEncoding = []string{"identity"} // neither chunked nor probed for a first byte
	}
}

// emptyBody is a body that the transport does not know to be empty.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// buffers lends the pieces in which bodies are copied.
type buffers struct {
	size int
	pool sync.Pool
}

func (b *buffers) Get() []byte {
	if piece, ok := b.pool.Get().(*[]byte); ok {
		return *piece
	}
	return make([]byte, b.size)
}

// trickles tells whether an answer comes in small pieces for a long time, and holds its
// buffer all the while. One with large pieces is carried too, in more of ours.
func trickles(res *http.Response) bool {
	kind := res.Header.Get("Content-Type")
	return strings.HasPrefix(kind, "text/event-stream") || strings.HasPrefix(kind, "application/grpc")
}

func (b *buffers) Put(piece []byte) { b.pool.Put(&piece) }
