package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/av-project/av/vault"
)

// link is what the proxy knows of a connection that an http.Server reads.
type link struct {
	*serving
	cert   []byte  // the client's certificate, on the outer leg
	known  func()  // called when it is known whose connection it is, on the outer leg
	meter  *meter  // whose it is, nil as long as nobody's
	tunnel *tunnel // on the inner leg
	wire   *wire   // nil when the connection speaks HTTP/2
	finish func()  // called once, when the server is done with the connection

	// unread is set from the first byte of a request until a handler has it. The
	// server answers what it cannot read by itself, and only these fields tell.
	unread   bool
	answered int // the status of such an answer
	hijacked bool
	handedOn bool // to a tunnel, which finishes it

	// done counts the HTTP/1 requests that the server is done with; handled is the
	// number of the last one that a handler had.
	done    atomic.Int64
	handled int64
}

// turn is the number of the HTTP/1 request that the server is at, from 1.
func (l *link) turn() int64 { return l.done.Load() + 1 }

type linkKey struct{}

func withLink(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, linkKey{}, linkOf(c))
}

func linkIn(ctx context.Context) *link { return ctx.Value(linkKey{}).(*link) }

func linkOf(c net.Conn) *link {
	switch c := c.(type) {
	case *wire:
		return c.link
	case *tls.Conn:
		return c.NetConn().(*seenConn).tunnel.link
	}
	panic("proxy: a connection that the proxy did not make")
}

// stateChanged follows the servers' connections.
func stateChanged(c net.Conn, state http.ConnState) {
	l := linkOf(c)
	switch state {
	case http.StateActive:
		if l.wire != nil {
			l.unread = true
		}
	case http.StateIdle:
		l.done.Add(1)
	case http.StateHijacked:
		l.hijacked = true
	case http.StateClosed:
		// The first bytes of a malformed request may have come along with the last one's,
		// and then the server closes the connection without a word.
		if bad := l.fault(); l.unread || bad != nil && l.handled < bad.request {
			l.recordUnread()
		}
		l.finish()
	}
}

// serve runs handle for a request on l.
func (l *link) serve(handle func()) {
	if l.wire != nil {
		l.unread = false
		l.handled = l.turn()
	}
	// The server no longer follows what was hijacked.
	defer func() {
		if l.hijacked && !l.handedOn {
			l.finish()
		}
	}()
	handle()
}

// recordUnread is the record of a request that no handler saw.
func (l *link) recordUnread() {
	e := vault.Entry{Time: l.now(), Status: l.answered, Reason: "the request could not be read"}
	if bad := l.fault(); bad != nil {
		e.Reason = bad.reason
	}
	if t := l.tunnel; t != nil {
		t.requests.Add(1)
		e.Session, e.Run = t.session.ID(), t.session.Run()
		e.Host, e.Port = t.target.Host, t.target.Port
	}
	l.recorder.Record(e)
}

// malformed is what the framing check has against the request that the server is at,
// nil if nothing.
func (l *link) malformed() *malformed {
	if bad := l.fault(); bad != nil && bad.request == l.turn() {
		return bad
	}
	return nil
}

// fault is what it has against the connection.
func (l *link) fault() *malformed {
	if l.wire == nil {
		return nil
	}
	return l.wire.bad.Load()
}
