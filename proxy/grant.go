package proxy

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/av-project/av/vault/policy"
)

// errRegranted ends what a new policy does not grant.
var errRegranted = errors.New(reasonRegranted)

// grant is something open: a tunnel or a request on its way.
type grant struct {
	number int // grants are counted in the order in which they are made
	// holds tells whether a policy still grants it.
	holds func(*policy.Set) bool
	end   context.CancelCauseFunc
}

// under gives a context for what the policy set granted. It ends with the session, and
// as soon as a policy comes that does not grant the same.
func (l *lease) under(ctx context.Context, set *policy.Set, holds func(*policy.Set) bool) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(l.ctx.Err()) })
	l.mu.Lock()
	l.granted++
	g := &grant{l.granted, holds, cancel}
	l.grants[g] = struct{}{}
	l.mu.Unlock()
	// One that came since set was asked is asked here, a later one by regrant.
	if now := l.session.Policy(); now != set && !holds(now) {
		cancel(errRegranted)
	}
	return ctx, func() {
		stop()
		l.mu.Lock()
		delete(l.grants, g)
		l.mu.Unlock()
		cancel(nil)
	}
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

// sameGrant tells whether a request that was judged old would be carried alike under
// now. A service that was changed is another one: what streams under the old one ends.
func sameGrant(old, now policy.Verdict) bool {
	switch {
	case !now.Allow, (old.Service == nil) != (now.Service == nil):
		return false
	case old.Service == nil:
		return true
	}
	return old.Service.Equal(*now.Service)
}
