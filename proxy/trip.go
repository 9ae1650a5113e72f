package proxy

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"strings"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/proxy/match"
)

// trip is one request on its way to its upstream.
type trip struct {
	route
	grant    *grant
	x        *exchange
	account  account // of what the client sends
	upstream *upstream
	fillings []inject.Filling // the credentials that go into headers
	upgrade  string           // the answer that a WebSocket handshake must bring
	frames   *inject.Frames   // rewrites what its client says; nil where nothing is declared
}

// rewrite makes the request that leaves. The headers that end at a proxy are gone by
// now, so a credential that the client nominated in Connection is not.
func (t *trip) rewrite(p *httputil.ProxyRequest) {
	out, port := p.Out, uint16(match.HTTPPort)
	out.URL.Scheme = "http"
	if t.secure {
		out.URL.Scheme, port = "https", match.HTTPSPort
	}
	out.URL.Host = t.target.String()
	out.URL.User = nil
	out.URL.Opaque = ""                  // or it would be the target, whatever the path says
	out.URL.RawQuery = p.In.URL.RawQuery // as it was sent, semicolons and all
	out.Host = match.Authority(t.target, port)
	stripProxy(out.Header)
	stripProxy(out.Trailer)
	stripOverrides(out.Trailer)
	for _, slot := range framingSlots {
		slot.Clear(out.Header)
	}
	inject.Put(out, t.fillings)
	if t.frames != nil {
		// Compressed messages show no placeholder, and an upstream agrees to no more
		// than it is offered.
		extensions.Clear(out.Header)
	}
	if out.Body != nil {
		out.Body = &requestBody{ReadCloser: out.Body, x: t.x, in: p.In.Trailer, out: out.Trailer, account: t.account}
	}
	t.upstream.sendOnce(out)
}

// framingSlots say how long a body is. The transport writes its own; what a client has
// under a name that CGI takes for theirs (Content_Length) would be a second reading.
var framingSlots = []inject.Slot{{Header: "Content-Length"}, {Header: "Transfer-Encoding"}}

// stripProxy removes what is between a client and its proxy, in CGI's spelling too.
func stripProxy(h http.Header) {
	for name := range h {
		if len(name) > 5 && strings.EqualFold(name[:5], "proxy") && (name[5] == '-' || name[5] == '_') {
			delete(h, name)
		}
	}
}

// answered looks at the upstream's head before the client sees it.
func (t *trip) answered(res *http.Response) error {
	t.x.entry.UpstreamProto = res.Proto
	stripProxy(res.Header)
	res.Header.Del(errorHeader) // only av speaks for av
	if res.StatusCode == http.StatusSwitchingProtocols {
		if !acceptsWebSocket(res.Header, t.upgrade) || t.frames != nil && res.Header[extensions.Header] != nil {
			return errUpgrade
		}
		t.x.entry.Status = res.StatusCode
		res.Body = countStream(res.Body, t, res.Request.Context())
		return nil
	}
	if _, ok := res.Header["Content-Type"]; !ok {
		t.x.Header()["Content-Type"] = nil // or the server would guess one
	}
	if len(res.Trailer) > 0 && t.x.major == 1 {
		// HTTP/2 may have both; HTTP/1 has trailers only where it counts no bytes.
		res.Header.Del("Content-Length")
	}
	if res.Request.Method != http.MethodHead {
		t.x.length = res.ContentLength
	}
	sized := res.ContentLength >= 0 || res.Body == http.NoBody
	res.Body = &responseBody{res.Body, t, res.Request.Context(), sized, res}
	return nil
}

// failed answers for an upstream that did not.
func (t *trip) failed(_ http.ResponseWriter, r *http.Request, err error) {
	bad := t.x.link.malformed()
	ended := t.ended(r.Context())
	switch {
	case ended != "":
		t.x.abandon(ended)
	case bad != nil:
		// Before the context: the server ends it with the first byte that it cannot read.
		t.x.closing = true
		t.x.refuse(badRequest("malformed", bad.reason))
	case t.x.cut.Load() != nil:
		t.x.refuse(*t.x.cut.Load())
	case t.x.fault.Load(), r.Context().Err() != nil:
		t.x.abandon(reasonGone)
	default:
		t.x.refuse(explain(err, t.target))
	}
}

// brokenOff is deferred: it knows reasons for an unfinished answer that the record
// does not.
func (t *trip) brokenOff(ctx context.Context) {
	// A WebSocket ends without a word, whoever ends it.
	if socket := t.x.entry.Status == http.StatusSwitchingProtocols; t.x.entry.Reason == "" && (socket || !t.x.whole()) {
		t.x.entry.Reason = t.ended(ctx)
	}
}

// ended is why we ended a trip, "" if we did not.
func (t *trip) ended(ctx context.Context) string {
	switch {
	case errors.Is(context.Cause(ctx), errRegranted):
		return reasonRegranted
	case errors.Is(context.Cause(ctx), errRevoked):
		return reasonRevoked
	case t.lease.ctx.Err() != nil:
		return reasonEnded
	}
	return ""
}

// reasonOf is why ctx ended.
func (t *trip) reasonOf(ctx context.Context) string {
	return cmp.Or(t.ended(ctx), reasonGone)
}
