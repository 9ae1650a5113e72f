package proxy

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// exchange is one request and its answer, and the record of both. It is opened before
// anything can fail, and recorded by a defer; what happens only fills it in.
type exchange struct {
	http.ResponseWriter
	link  *link
	began time.Time
	entry vault.Entry
	major int // the client's version of HTTP
	// answer is how the client reads a refusal.
	answer answer

	// sent and received count the bodies. The transport reads the request's in a
	// goroutine of its own, which may outlive the handler by a moment.
	sent, received atomic.Int64
	// purse holds the credentials that were used; nil if none could be.
	purse     *purse
	stopwatch stopwatch
	// late is the reason of what a WebSocket's own goroutines ended.
	late atomic.Pointer[string]
	// cut is why the proxy ended it by itself.
	cut atomic.Pointer[refusal]
	// active is when the last byte went by, as nanoseconds since it began.
	active atomic.Int64
	// fault: the request's body did not come to its end.
	fault atomic.Bool

	// closing: the connection's framing is no longer followed, so that it ends with
	// this answer, unless the answer makes it a tunnel.
	closing bool
	// carried: the answer reached its end.
	carried bool
	// length is the length of the upstream's body, if it said so; else -1.
	length int64
	// silent: others are the record of this one.
	silent bool
}

func (l *link) open(w http.ResponseWriter, r *http.Request) *exchange {
	return &exchange{
		ResponseWriter: w,
		link:           l,
		length:         -1,
		began:          time.Now(),
		entry:          vault.Entry{Time: l.now(), Method: r.Method, Path: pathOf(r), Proto: r.Proto},
		major:          r.ProtoMajor,
		answer:         answerFor(r),
		closing:        r.Method == http.MethodConnect || r.ProtoMajor == 1 && namesWebSocket(r.Header),
	}
}

// record is deferred. So every request that reaches a handler has its record; one that
// HTTP/1 cannot read has the link's, and one that HTTP/2 cannot read has none.
func (x *exchange) record() {
	if x.silent {
		return
	}
	e := &x.entry
	e.Duration = time.Since(x.began)
	x.stopwatch.into(e)
	e.BytesOut, e.BytesIn = x.sent.Load(), x.received.Load()
	if x.purse != nil && e.Upstream != "" { // else nobody was there to receive them
		e.Keys = x.purse.keys()
	}
	if late := x.late.Load(); late != nil {
		e.Reason = *late
	}
	if !x.whole() && e.Reason == "" {
		e.Reason = reasonGone
	}
	if cut := x.cut.Load(); cut != nil {
		e.Reason, e.Allowed = cut.message, e.Allowed && !cut.ours
	}
	x.link.recorder.Record(*e)
}

// whole tells whether the client was given all of its answer. Who has read the last byte
// may hang up at once, while the handler still waits for the upstream's end.
func (x *exchange) whole() bool {
	return x.carried || x.entry.Status != 0 && x.length >= 0 && x.received.Load() >= x.length
}

func (x *exchange) of(s *vault.Session) {
	x.entry.Session, x.entry.Run = s.ID(), s.Run()
}

func (x *exchange) to(t policy.Target) {
	x.entry.Host, x.entry.Port = t.Host, t.Port
}

func (x *exchange) judged(v policy.Verdict) {
	x.entry.Allowed, x.entry.Rule = v.Allow, v.Rule
	if v.Service != nil {
		x.entry.Service = v.Service.Name
	}
}

// refuse answers with f.
func (x *exchange) refuse(f refusal) {
	x.entry.Reason = f.message
	if f.ours {
		x.entry.Allowed = false
	}
	x.carried = true
	f.write(x, x.answer)
	x.entry.Status = f.status // whatever it looks like on the wire
}

// handOn lets go of what the server keeps for the request: its answer is a tunnel, which
// may be idle for hours, and closes the connection and x's record when it ends.
func (x *exchange) handOn() {
	x.link.handedOn = true
	x.ResponseWriter = nil
}

// abandon leaves the client without an answer, because it is gone or has to go.
func (x *exchange) abandon(reason string) {
	x.entry.Reason = reason
	panic(http.ErrAbortHandler)
}

// WriteHeader notes the final status.
func (x *exchange) WriteHeader(code int) {
	if code >= 200 {
		x.entry.Status = code
		if x.closing || x.major == 1 && x.cut.Load() != nil {
			x.Header().Set("Connection", "close")
		}
	}
	x.ResponseWriter.WriteHeader(code)
}

func (x *exchange) Write(p []byte) (int, error) {
	n, err := x.ResponseWriter.Write(p)
	x.touch()
	x.received.Add(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController flush and hijack.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// pathOf is a request's path for its record: no query, no user, no end of length.
func pathOf(r *http.Request) string {
	path := r.URL.EscapedPath()
	return path[:min(len(path), maxRecordedPath)]
}
