package proxy

import (
	"net/http"

	"github.com/av-project/av/proxy/match"
	"github.com/av-project/av/vault/policy"
)

// serveOuter answers what a client sends to an HTTP proxy: CONNECT, or a request in
// absolute form.
func (s *serving) serveOuter(w http.ResponseWriter, r *http.Request) {
	l := linkIn(r.Context())
	l.serve(func() {
		x := l.open(w, r)
		defer func() {
			if !l.handedOn {
				x.record()
			}
		}()
		session, refused := l.identify(r)
		if refused != nil {
			if r.Context().Err() != nil {
				x.abandon(reasonGone) // which is why the vault gave no answer
			}
			x.refuse(*refused)
			return
		}
		x.of(session)
		to := route{session: session, lease: s.lease(session)}
		if !l.join(to.lease.meter) {
			x.closing = true
			x.refuse(tooManyConnections(to.lease.meter.limits.Connections))
			return
		}
		if !to.lease.meter.pace(x, r) {
			return
		}
		switch {
		case r.Method == http.MethodConnect:
			s.connect(x, r, to)
		case r.URL.Host != "", r.URL.Opaque != "":
			s.absolute(x, r, to)
		default:
			x.refuse(badRequest("not_proxied", "this is a proxy: send CONNECT, or a request with a whole URL"))
		}
	})
}

// absolute carries a request that names its whole URL.
func (s *serving) absolute(x *exchange, r *http.Request, to route) {
	var err error
	to.target, to.secure, err = match.Absolute(r.URL)
	if err != nil {
		x.refuse(badRequest("bad_target", err.Error()))
		return
	}
	x.to(to.target)
	s.carry(x, r, to)
}

// connect judges a CONNECT, and opens the tunnel.
func (s *serving) connect(x *exchange, r *http.Request, to route) {
	target, err := match.Connect(r.RequestURI)
	if err != nil {
		x.refuse(badRequest("bad_target", err.Error()))
		return
	}
	x.to(target)
	set := to.session.Policy()
	verdict := set.Reach(target)
	x.judged(verdict)
	if !verdict.Allow {
		// Nothing was resolved, dialled or minted for it, and nothing will be.
		x.refuse(denied(target, set, verdict))
		return
	}
	// Names leave too, in what they are looked up with.
	if short := to.lease.meter.budgets.account(target.Host, nil).spend(headSize(r)); short != nil {
		x.refuse(budgetSpent(short))
		return
	}
	if unread(verdict) {
		to.target = target
		s.connectUnread(x, to, set, verdict)
		return
	}
	conn, head, err := hijack(x)
	if err != nil {
		s.log.Error("cannot hijack", "err", err)
		x.abandon("the connection cannot become a tunnel")
	}
	x.carried = true
	t := &tunnel{serving: s, session: to.session, lease: to.lease, target: target, conn: conn, x: x}
	t.ctx, t.grant = t.lease.under(s.ctx, set, func(now *policy.Set) bool {
		v := now.Reach(target)
		return v.Allow && !unread(v)
	})
	t.rawHelps = verdict.Service == nil
	x.handOn()
	t.open(head)
}
