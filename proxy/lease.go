package proxy

import (
	"context"
	"fmt"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// lease is what the proxy holds for one session: its connections to upstreams, and a
// context that ends with it. No connection is ever shared between two sessions.
type lease struct {
	*serving
	ctx context.Context

	mu        sync.Mutex
	upstreams *lru.Cache[upstreamKey, *upstream]
}

// upstreamKey keeps apart what was opened under different rules: a service may dial
// another address and trust another CA than the open internet does. A service that is
// changed is another *Service, so no connection of the old one is used for the new.
type upstreamKey struct {
	service *policy.Service
	target  policy.Target
}

// lease finds the session's, or opens it.
func (s *serving) lease(session *vault.Session) *lease {
	if held, ok := s.leases.Load(session); ok {
		return held.(*lease)
	}
	upstreams, err := lru.NewWithEvict(maxUpstreams, func(_ upstreamKey, u *upstream) { u.transport.CloseIdleConnections() })
	if err != nil {
		panic(fmt.Sprintf("proxy: %v", err)) // the size is a constant
	}
	ctx, cancel := context.WithCancel(s.ctx)
	fresh := &lease{serving: s, ctx: ctx, upstreams: upstreams}
	if held, ok := s.leases.LoadOrStore(session, fresh); ok {
		cancel()
		return held.(*lease)
	}
	s.wg.Go(func() {
		select {
		case <-session.Done():
		case <-s.ctx.Done():
		}
		s.leases.Delete(session)
		cancel()
		fresh.mu.Lock()
		defer fresh.mu.Unlock()
		upstreams.Purge()
	})
	return fresh
}

// upstream finds the connections for a service, or for a target without one.
func (l *lease) upstream(service *policy.Service, target policy.Target) *upstream {
	key := upstreamKey{service, target}
	l.mu.Lock()
	defer l.mu.Unlock()
	if u, ok := l.upstreams.Get(key); ok {
		return u
	}
	u := l.newUpstream(service, target)
	l.upstreams.Add(key, u)
	return u
}
