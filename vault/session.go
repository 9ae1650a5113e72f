package vault

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// Session is what one run may do, for as long as it may. It may be used by many at
// once; the same session is the same pointer while it lives in memory.
type Session struct {
	vault   *Vault
	row     store.Session
	grant   Grant
	policy  atomic.Pointer[policy.Set]
	closing sync.Once
	done    chan struct{}
	timer   *time.Timer
}

func newSession(v *Vault, row store.Session, g Grant, services []policy.Service) (*Session, error) {
	set, err := policy.Compile(services, g.Allow, g.Unmatched)
	if err != nil {
		return nil, fmt.Errorf("compile the policy of session %s: %w", row.ID, err)
	}
	s := &Session{vault: v, row: row, grant: g, done: make(chan struct{})}
	s.policy.Store(set)
	// Open tunnels shall close when the session expires, whether or not they ask.
	s.timer = time.AfterFunc(row.Expires.Sub(v.o.Now()), s.shut)
	return s, nil
}

func (s *Session) ID() string  { return s.row.ID }
func (s *Session) Run() string { return s.row.Run }

// Policy is the policy as it is now; the next request may find another.
func (s *Session) Policy() *policy.Set { return s.policy.Load() }

// Alive tells whether the session has neither ended nor expired.
func (s *Session) Alive() bool {
	select {
	case <-s.done:
		return false
	default:
	}
	if s.vault.o.Now().Before(s.row.Expires) {
		return true
	}
	// The timer stands still while the machine sleeps; the clock does not.
	s.close()
	return false
}

// Done is closed when the session ends or expires: what is open on it must close.
func (s *Session) Done() <-chan struct{} { return s.done }

func (s *Session) close() {
	s.timer.Stop()
	s.shut()
}

// shut is what the timer does, too.
func (s *Session) shut() { s.closing.Do(func() { close(s.done) }) }

// Credential is the value of a key that one of the session's services names. The
// session can reach no other: a run's proxy is no way to read the vault.
func (s *Session) Credential(ctx context.Context, key string) (Value, error) {
	if !s.Alive() {
		return Value{}, ErrNoSession
	}
	if !s.Policy().Uses(key) {
		return Value{}, fmt.Errorf("%w: no service of this session uses %q", ErrNoCredential, clip(key, maxName))
	}
	return s.vault.credential(ctx, key)
}
