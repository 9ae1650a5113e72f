package proxy

import (
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// Why an exchange has no answer, or half of one.
const (
	reasonEnded     = "the session ended"
	reasonRegranted = "the policy changed and no longer grants it"
	reasonRevoked   = "a credential that went into it was removed, or may no longer go there"
	reasonGone      = "broken off by the client"

	reasonUpstreamGone = "broken off by the upstream"
)

// errCutOff ends what the proxy ends by itself; the exchange knows why.
var errCutOff = errors.New("cut off")

// route is where a request goes, for whom.
type route struct {
	session *vault.Session
	lease   *lease
	target  policy.Target
	secure  bool
}

// carry judges r, and takes it to its upstream and the answer back.
func (s *serving) carry(x *exchange, r *http.Request, to route) {
	settlePath(r.URL)
	set, method, path := to.session.Policy(), r.Method, r.URL.EscapedPath()
	verdict := set.Decide(to.target, method, path)
	x.judged(verdict)
	x.entry.Scheme = "http"
	if to.secure {
		x.entry.Scheme = "https"
	}
	if !verdict.Allow {
		x.refuse(denied(to.target, set, verdict))
		return
	}
	if verdict.Service != nil && verdict.Service.Opaque() {
		x.refuse(onlyTunnels(verdict.Service.Name))
		return
	}
	if why := overridden(r, to, set, verdict); why != nil {
		x.refuse(*why)
		return
	}
	meter := to.lease.meter
	if !meter.requests.enter() {
		x.refuse(tooManyRequests(meter.limits.Requests))
		return
	}
	defer meter.requests.leave()
	account := meter.budgets.account(to.target.Host, verdict.Service)
	if why := meter.weigh(x, r, account); why != nil {
		x.refuse(*why)
		return
	}
	ctx, grant := to.lease.under(r.Context(), set, func(now *policy.Set) bool {
		return sameGrant(verdict, now.Decide(to.target, method, path))
	})
	defer grant.release()
	ctx, rest := x.watch(ctx, meter.limits.Idle, meter.limits.Total)
	defer rest()
	r = r.WithContext(ctx)
	t := &trip{route: to, grant: grant, x: x, account: account, upgrade: webSocketAnswer(r)}
	if t.upgrade == "" {
		r.Header.Del("Upgrade") // nothing but a WebSocket gets a tunnel
	}
	defer t.brokenOff(ctx)
	if verdict.Service != nil && !t.load(r, set, verdict.Service) {
		return
	}
	if held, ok := r.Body.(*heldBody); ok {
		defer held.Close() // the reverse proxy closes a wrapping of its own
	}
	var done func()
	t.upstream, done = to.lease.upstream(set, verdict, to.target)
	defer done()
	// An answer may begin before the request has ended.
	_ = http.NewResponseController(x).EnableFullDuplex()
	onward := &httputil.ReverseProxy{
		Rewrite:       t.rewrite,
		Transport:     t.upstream.transport,
		ErrorHandler:  t.failed,
		FlushInterval: -1,
		BufferPool:    &s.buffers,
		ErrorLog:      s.errorLog,
	}
	onward.ModifyResponse = func(res *http.Response) error {
		if res.ContentLength == 0 {
			// A head that is flushed by itself does not end its stream, and to gRPC a
			// status in a head that does not is none.
			onward.FlushInterval = 0
		}
		if trickles(res) {
			onward.BufferPool = &s.trickles
		}
		return t.answered(res)
	}
	onward.ServeHTTP(x, r.WithContext(httptrace.WithClientTrace(ctx, x.trace())))
	x.carried = true
}
