package proxy

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"

	"github.com/av-project/av/vault"
)

// stopwatch notes when a trip came how far, as nanoseconds since its request arrived; 0 is
// not at all. A connection may be opened in a goroutine that outlives the trip.
type stopwatch struct {
	wanted, secured, got, handshake, answered atomic.Int64
	reused                                    atomic.Bool
}

// errEndless1xx ends a trip. Where somebody takes them, net/http leaves it to him to bound
// the answers that are none yet, and the reverse proxy takes them without counting.
var errEndless1xx = errors.New("the upstream sends 1xx for ever")

// trace is what the transport tells of a trip on its way.
func (x *exchange) trace() *httptrace.ClientTrace {
	w := &x.stopwatch
	now := func() int64 { return int64(time.Since(x.began)) }
	informed := 0 // one goroutine reads an answer
	return &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			if informed++; informed > max1xx {
				return errEndless1xx
			}
			return nil
		},
		GetConn:              func(string) { w.wanted.Store(now()) },
		TLSHandshakeStart:    func() { w.handshake.Store(now()) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { w.secured.Store(now()) },
		GotFirstResponseByte: func() { w.answered.Store(now()) },
		GotConn: func(info httptrace.GotConnInfo) {
			x.entry.Upstream = info.Conn.RemoteAddr().String()
			w.reused.Store(info.Reused)
			w.got.Store(now())
		},
	}
}

// into writes what took how long into e, whose Duration is known. What was under way when
// it ended took until then.
func (w *stopwatch) into(e *vault.Entry) {
	wanted, got := w.wanted.Load(), w.got.Load()
	if wanted == 0 {
		return // nobody was to be asked
	}
	if answered := w.answered.Load(); got != 0 && answered != 0 {
		e.FirstByte = span(got, answered)
	}
	if w.reused.Load() {
		e.Queue = span(0, got)
		return
	}
	e.Queue = span(0, wanted)
	connected := cmp.Or(got, int64(e.Duration))
	handshake, secured := w.handshake.Load(), cmp.Or(w.secured.Load(), connected)
	if handshake < wanted || handshake > connected { // none, or of a connection that was not taken
		e.Dial = span(wanted, connected)
		return
	}
	e.Dial, e.TLS = span(wanted, handshake), span(handshake, min(secured, connected))
}

func span(from, to int64) time.Duration { return time.Duration(max(0, to-from)) }
