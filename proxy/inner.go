package proxy

import (
	"net/http"

	"github.com/av-project/av/proxy/match"
)

// serveInner answers a request from inside a tunnel.
func (s *serving) serveInner(w http.ResponseWriter, r *http.Request) {
	l := linkIn(r.Context())
	t := l.tunnel
	if !t.handlers.enter() {
		panic(http.ErrAbortHandler) // the connection is gone, and nothing was done yet
	}
	defer t.handlers.leave()
	l.serve(func() {
		t.requests.Add(1)
		x := l.open(w, r)
		defer x.record()
		x.of(t.session)
		x.to(t.target)
		switch {
		case !t.session.Alive():
			x.closing = true
			x.refuse(sessionEnded())
		case r.Method == http.MethodConnect:
			x.refuse(badRequest("nested_connect", "a CONNECT inside a tunnel is not carried"))
		case !t.agrees(r):
			x.refuse(misdirected(t.target))
		default:
			s.carry(x, r, route{t.session, t.lease, t.target, t.secure})
		}
	})
}

// agrees tells whether all that r says about its host is the tunnel's: authority, URL,
// and the Host header that HTTP/2 lets stand beside the authority.
func (t *tunnel) agrees(r *http.Request) bool {
	port := uint16(match.HTTPPort)
	if t.secure {
		port = match.HTTPSPort
	}
	if r.URL.Host != "" {
		target, secure, err := match.Absolute(r.URL)
		if err != nil || target != t.target || secure != t.secure {
			return false
		}
	}
	for _, host := range r.Header["Host"] {
		if !match.Agrees(t.target, host, port) {
			return false
		}
	}
	return match.Agrees(t.target, r.Host, port)
}
