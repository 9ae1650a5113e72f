package proxy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

var (
	// errRegranted ends what a new policy does not grant.
	errRegranted = errors.New(reasonRegranted)
	// errRevoked ends what has a credential in it that its host may no longer have.
	errRevoked = errors.New(reasonRevoked)
)

// grant is something open: a tunnel or a request on its way.
type grant struct {
	number int // grants are counted in the order in which they are made
	// holds tells whether a policy still grants it.
	holds func(*policy.Set) bool
	end   context.CancelCauseFunc
	// purse is what went into it, once something has.
	purse atomic.Pointer[purse]

	lease *lease
	stop  func() bool
}

// under gives a context for what the policy set granted. It ends with the session, and
// as soon as a policy comes that does not grant the same. Who has it releases the grant.
func (l *lease) under(ctx context.Context, set *policy.Set, holds func(*policy.Set) bool) (context.Context, *grant) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(l.ctx.Err()) })
	l.mu.Lock()
	l.granted++
	g := &grant{number: l.granted, holds: holds, end: cancel, lease: l, stop: stop}
	l.grants[g] = struct{}{}
	l.mu.Unlock()
	// One that came since set was asked is asked here, a later one by regrant.
	if now := l.session.Policy(); now != set && !holds(now) {
		cancel(errRegranted)
	}
	return ctx, g
}

func (g *grant) release() {
	g.stop()
	g.lease.mu.Lock()
	delete(g.lease.grants, g)
	g.lease.mu.Unlock()
	g.end(nil)
}

// follow is asked for the session's first Changed before anything is judged, and then
// measures all that is open by each new policy, until the session ends.
func (l *lease) follow(changed <-chan struct{}) {
	for {
		select {
		case <-changed:
			changed = l.session.Changed() // first, so that no policy comes in between
			l.regrant(l.session.Policy())
		case <-l.session.Done():
			return
		case <-l.serving.ctx.Done():
			return
		}
	}
}

// regrant ends what set does not grant. Connections to upstreams that were opened under
// an older policy serve no new request: a service that was taken back and one that is
// now at another address must not meet in them.
func (l *lease) regrant(set *policy.Set) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range l.upstreams.Keys() {
		if key.set != set {
			l.upstreams.Remove(key)
		}
	}
	// The newest first: a request before the tunnel that it came through, for that takes
	// its client away, and then it would be the client that broke it off.
	newestFirst := func(a, b *grant) int { return b.number - a.number }
	for _, g := range slices.SortedFunc(maps.Keys(l.grants), newestFirst) {
		if !g.holds(set) {
			g.end(errRegranted)
		}
	}
}

// recheckAlways is apart from follow: the vault may be waited for here, and what a new
// policy or the session's end takes back must not wait.
func (l *lease) recheckAlways() {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.recheck()
		case <-l.ctx.Done():
			return
		}
	}
}

// recheck ends what is open with a credential that was removed, or bound to other hosts,
// since. One that only has another value is another matter: what is open was let in with
// the old one, and its upstream knows what that is still worth.
func (l *lease) recheck() {
	type use struct{ key, host string }
	gone := map[use]bool{}
	for _, g := range l.withCredentials() {
		p := g.purse.Load()
		for _, key := range p.keys() {
			u := use{key, p.host}
			if _, known := gone[u]; !known {
				err := l.session.MayUse(l.ctx, key, p.host)
				gone[u] = errors.Is(err, vault.ErrNoCredential) || errors.Is(err, vault.ErrBound)
			}
			if gone[u] {
				g.end(errRevoked)
			}
		}
	}
}

// withCredentials are the grants to look at. They are looked at without the lock, for the
// vault may take its time.
func (l *lease) withCredentials() (list []*grant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for g := range l.grants {
		if g.purse.Load() != nil {
			list = append(list, g)
		}
	}
	return list
}

// sameGrant tells whether a request that was judged old would be carried alike under
// now. A service that was changed is another one: what streams under the old one ends.
func sameGrant(old, now policy.Verdict) bool {
	switch {
	case !now.Allow, (old.Service == nil) != (now.Service == nil):
		return false
	case old.Service == nil:
		return old.Address == now.Address
	}
	return old.Service.Equal(*now.Service)
}
