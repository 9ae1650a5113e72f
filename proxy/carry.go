package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// Why an exchange has no answer, or half of one.
const (
	reasonEnded = "the session ended"
	reasonGone  = "broken off by the client"
)

// route is where a request goes, for whom.
type route struct {
	session *vault.Session
	lease   *lease
	target  policy.Target
	secure  bool
}

// carry judges r, and takes it to its upstream and the answer back.
func (s *serving) carry(x *exchange, r *http.Request, to route) {
	verdict := to.session.Policy().Decide(to.target, r.Method, r.URL.EscapedPath())
	x.judged(verdict)
	if !verdict.Allow {
		x.refuse(denied(to.target, verdict))
		return
	}
	put, refused := x.credential(r, to, verdict.Service)
	if refused != nil {
		x.refuse(*refused)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(to.lease.ctx, cancel)()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) { x.entry.Upstream = c.Conn.RemoteAddr().String() },
	})

	t := &trip{
		route: to, x: x, put: put,
		upstream: to.lease.upstream(verdict.Service, to.target),
		upgrade:  webSocketAnswer(r),
	}
	if t.upgrade == "" {
		r.Header.Del("Upgrade") // nothing but a WebSocket gets a tunnel
	}
	defer t.brokenOff()
	// An answer may begin before the request has ended.
	_ = http.NewResponseController(x).EnableFullDuplex()
	(&httputil.ReverseProxy{
		Rewrite:        t.rewrite,
		Transport:      t.upstream.transport,
		ModifyResponse: t.answered,
		ErrorHandler:   t.failed,
		FlushInterval:  -1,
		BufferPool:     &s.buffers,
		ErrorLog:       s.errorLog,
	}).ServeHTTP(x, r.WithContext(ctx))
	x.carried = true
}

// credential gets what service needs ready, before anything is dialled.
func (x *exchange) credential(r *http.Request, to route, service *policy.Service) (put func(*http.Request), refused *refusal) {
	if service == nil {
		return nil, nil
	}
	var slot inject.Slot
	var key string
	switch auth := service.Auth; auth.Type {
	case policy.Bearer:
		slot, key = inject.Bearer(), auth.Token
	case policy.APIKey:
		slot, key = inject.Slot{Header: auth.Header, Prefix: auth.Prefix}, auth.Key
	case policy.Passthrough:
		return nil, nil
	default:
		// A newer services file than this proxy knows: carrying it without its credential
		// is not what it asks for.
		return nil, new(unknownAuth(service.Name, auth.Type))
	}
	switch {
	case !to.secure:
		return nil, new(plainCredential(service.Name))
	case r.Method == http.MethodTrace:
		return nil, new(traceRefused(service.Name))
	}
	value, err := to.session.Credential(r.Context(), key, to.target.Host)
	switch {
	case errors.Is(err, vault.ErrNoCredential):
		return nil, new(missingCredential(service.Name, key))
	case errors.Is(err, vault.ErrNoSession):
		return nil, new(sessionEnded())
	case r.Context().Err() != nil:
		x.abandon(reasonGone)
	case err == nil:
		put, err = slot.Ready(value)
	}
	if errors.Is(err, inject.ErrUnfit) {
		return nil, new(unfitCredential(service.Name, key))
	}
	if err != nil {
		x.link.log.Error("cannot use a credential", "key", key, "err", err)
		return nil, new(unusableCredential(service.Name, key))
	}
	x.entry.Keys = []string{key}
	return put, nil
}
