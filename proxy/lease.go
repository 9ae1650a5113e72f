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
	session *vault.Session
	meter   *meter
	ctx     context.Context

	// holding has an element for each body that is in memory.
	holding chan struct{}

	mu        sync.Mutex
	upstreams *lru.Cache[upstreamKey, *upstream]
	grants    map[*grant]struct{}
	granted   int // ever
}

// upstreamKey keeps apart what was opened under different rules: a service may dial
// another address and trust another CA than the open internet does. No connection of an
// older policy is used for a newer one.
type upstreamKey struct {
	set     *policy.Set
	service *policy.Service
	target  policy.Target
}

// lease finds the session's, or opens it.
func (s *serving) lease(session *vault.Session) *lease {
	if held, ok := s.leases.Load(session); ok {
		return held.(*lease)
	}
	upstreams, err := lru.NewWithEvict(maxUpstreams, func(_ upstreamKey, u *upstream) { u.retire() })
	if err != nil {
		panic(fmt.Sprintf("proxy: %v", err)) // the size is a constant
	}
	ctx, cancel := context.WithCancel(s.ctx)
	fresh := &lease{
		serving: s, session: session, meter: s.meters.of(session), ctx: ctx, upstreams: upstreams,
		holding: make(chan struct{}, maxHeldBodies), grants: map[*grant]struct{}{},
	}
	changed := session.Changed()
	if held, ok := s.leases.LoadOrStore(session, fresh); ok {
		cancel()
		return held.(*lease)
	}
	s.wg.Go(fresh.premint)
	s.wg.Go(fresh.recheckAlways)
	s.wg.Go(func() {
		fresh.follow(changed)
		s.leases.Delete(session)
		cancel()
		fresh.mu.Lock()
		defer fresh.mu.Unlock()
		upstreams.Purge()
	})
	return fresh
}

// premint has leaves ready for the hosts that the session's policy names, so that its
// first handshakes do not wait for them. It is apart from follow: what a new policy
// takes back must not wait either.
func (l *lease) premint() {
	for {
		changed := l.session.Changed() // first, so that no policy comes in between
		l.authority.Premint(l.ctx, l.session.Policy().ExactHosts())
		select {
		case <-changed:
		case <-l.ctx.Done():
			return
		}
	}
}

// upstream finds the connections for what a verdict of set lets through. Who
// asked for them calls done.
func (l *lease) upstream(set *policy.Set, verdict policy.Verdict, target policy.Target) (u *upstream, done func()) {
	key := upstreamKey{set, verdict.Service, target}
	l.mu.Lock()
	defer l.mu.Unlock()
	u, ok := l.upstreams.Get(key)
	if !ok {
		u = l.newUpstream(verdict, target)
	}
	u.trips++
	switch {
	case ok:
	case l.session.Policy() == set:
		l.upstreams.Add(key, u)
	default:
		u.retire() // nobody would find it again
	}
	return u, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if u.trips--; u.retired {
			u.retire()
		}
	}
}
