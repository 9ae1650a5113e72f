package proxy

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

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
		case !t.lease.meter.pace(x, r):
		case strings.EqualFold(r.Method, http.MethodConnect):
			x.refuse(badRequest("nested_connect", "a CONNECT inside a tunnel is not carried"))
		case !isMethod(r.Method):
			x.refuse(badRequest("bad_method", "the method holds a character that it cannot"))
		case !hasForm(r):
			x.refuse(badRequest("bad_target", "the target is neither a path nor a whole URL with a host"))
		case !t.agrees(r):
			x.refuse(misdirected(t.target))
		default:
			s.carry(x, r, route{t.session, t.lease, t.target, t.secure})
		}
	})
}

// hasForm tells whether r's target is a path, the asterisk of OPTIONS, or a URL with a
// host. "http:@evil.test/x" is none of them, and yet a URL to net/url: it has no host
// that could disagree with the tunnel's, and all behind its colon would leave as the
// request's target. In HTTP/2 a query may hold a blank, which would end the target of
// the HTTP/1 request that some upstreams get.
func hasForm(r *http.Request) bool {
	switch {
	case r.URL.Opaque != "", strings.Contains(r.URL.RawQuery, " "):
		return false
	case strings.HasPrefix(r.RequestURI, "/"):
		return true
	case r.RequestURI == "*":
		return r.Method == http.MethodOptions
	}
	return r.URL.Host != ""
}

// isMethod looks where net/http does not: its HTTP/2 server takes any text for a method.
func isMethod(s string) bool { return httpguts.ValidHeaderFieldName(s) }

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
