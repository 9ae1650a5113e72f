package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/av-project/av/vault"
)

// meter counts what one session has of the proxy, on all its listeners together: a run
// at its ceiling waits or is refused, and takes nothing away from another.
type meter struct {
	limits      vault.Limits
	connections seats
	requests    seats
	rate        *rate.Limiter

	budgets *budgets

	mu          sync.Mutex
	credentials map[string]*rate.Limiter // by key; no more than the session's services name
}

// meters are found by the session's name and not by the session: one that was dropped
// from the vault's memory and read again has spent what it had spent.
type meters struct {
	mu   sync.Mutex
	byID *lru.Cache[string, *meter]
}

func newMeters() *meters {
	byID, err := lru.New[string, *meter](maxMeters)
	if err != nil {
		panic(fmt.Sprintf("proxy: %v", err)) // the size is a constant
	}
	return &meters{byID: byID}
}

func (m *meters) of(s *vault.Session) *meter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.byID.Get(s.ID()); ok {
		return there
	}
	l := s.Limits()
	fresh := &meter{
		limits:      l,
		connections: seats{all: int64(l.Connections)},
		requests:    seats{all: int64(l.Requests)},
		rate:        rate.NewLimiter(rate.Limit(l.Rate), l.Rate),
		credentials: map[string]*rate.Limiter{},
		budgets:     newBudgets(l),
	}
	m.byID.Add(s.ID(), fresh)
	return fresh
}

// seats are what may be taken at a time.
type seats struct {
	all int64
	n   atomic.Int64
}

func (g *seats) enter() bool {
	if g.n.Add(1) > g.all {
		g.n.Add(-1)
		return false
	}
	return true
}

func (g *seats) leave() { g.n.Add(-1) }

// tooFastError is a rate that is kept to by waiting longer than anyone should.
type tooFastError struct {
	perSecond int
	after     time.Duration // when it would be one's turn
}

func (e *tooFastError) Error() string { return fmt.Sprintf("more than %d a second", e.perSecond) }

// pace waits for the turn of one more request. A burst is spread out; what would have to
// wait longer than maxTurn is refused.
func pace(ctx context.Context, l *rate.Limiter) error {
	turn := l.Reserve()
	wait := turn.Delay()
	switch {
	case wait == 0:
		return nil
	case wait > maxTurn:
		turn.Cancel()
		return &tooFastError{int(l.Limit()), wait}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return ctx.Err()
	}
}

// credential waits for the turn of a request that key goes into.
func (m *meter) credential(ctx context.Context, key string) error {
	m.mu.Lock()
	limiter := m.credentials[key]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(m.limits.CredentialRate), m.limits.CredentialRate)
		m.credentials[key] = limiter
	}
	m.mu.Unlock()
	return pace(ctx, limiter)
}

// join counts l among the connections of m's session, once. Who changes to another
// session's token counts for that one.
func (l *link) join(m *meter) bool {
	if l.meter == m {
		return true
	}
	if !m.connections.enter() {
		return false
	}
	l.leave()
	l.meter = m
	return true
}

// leave: the connection is no longer anybody's, nor a stranger's.
func (l *link) leave() {
	l.known()
	if l.meter != nil {
		l.meter.connections.leave()
	}
}

// pace lets one more request of the session in when it is its turn. Where it does not, it
// has answered.
func (m *meter) pace(x *exchange, r *http.Request) (ok bool) {
	err := pace(r.Context(), m.rate)
	if n := fields(r.Header) + len(r.Trailer); err == nil && n > maxHeaders {
		x.refuse(tooManyHeaders(n))
		return false
	}
	if err == nil {
		return true
	}
	fast, ok := errors.AsType[*tooFastError](err)
	if !ok {
		x.abandon(reasonGone)
	}
	x.refuse(rateLimited(fast))
	return false
}

// weigh measures r by what may leave, and from here on what comes of its body. What is
// known to be too much is refused before the first byte of it leaves.
func (m *meter) weigh(x *exchange, r *http.Request, a account) *refusal {
	head := headSize(r)
	if r.ContentLength > m.limits.MaxBody {
		return new(requestTooLarge(m.limits.MaxBody))
	}
	short := a.fits(head + max(r.ContentLength, 0))
	if short == nil {
		short = a.spend(head)
	}
	if short != nil {
		return new(budgetSpent(short))
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &meteredBody{ReadCloser: r.Body, x: x, account: a, left: m.limits.MaxBody, limit: m.limits.MaxBody}
	}
	return nil
}

// fields counts the lines of a head.
func fields(h http.Header) (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}
