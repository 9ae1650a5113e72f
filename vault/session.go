package vault

import (
	"context"
	"fmt"
	"reflect"
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
	current atomic.Pointer[current]
	closing sync.Once
	done    chan struct{}
	timer   *time.Timer
	expires atomic.Pointer[time.Time]
}

// current is the policy as it is now. The two are swapped as one: whoever waits for
// the channel of a policy waits for the end of that one.
type current struct {
	set      *policy.Set
	services []policy.Service // what it was made of
	changed  chan struct{}
}

// compile puts the policy that follows from services in place, and tells who waits for
// it. If nothing is different, nothing happens.
func (s *Session) compile(services []policy.Service) error {
	services = s.grant.with(services)
	before := s.current.Load()
	if before != nil && reflect.DeepEqual(before.services, services) {
		return nil
	}
	set, err := s.grant.Compile(services)
	if err != nil {
		return fmt.Errorf("compile the policy of session %s: %w", s.row.ID, err)
	}
	s.current.Store(&current{set: set, services: services, changed: make(chan struct{})})
	if before != nil {
		close(before.changed)
	}
	return nil
}

func newSession(v *Vault, row store.Session, g Grant, services []policy.Service) (*Session, error) {
	s := &Session{vault: v, row: row, grant: g, done: make(chan struct{})}
	if err := s.compile(services); err != nil {
		return nil, err
	}
	s.expires.Store(&row.Expires)
	// Open tunnels shall close when the session expires, whether or not they ask.
	s.timer = time.AfterFunc(row.Expires.Sub(v.o.Now()), s.shut)
	return s, nil
}

func (s *Session) ID() string  { return s.row.ID }
func (s *Session) Run() string { return s.row.Run }

// Limits are those of the grant, with the defaults filled in. Their map is not to be
// written to.
func (s *Session) Limits() Limits { return s.grant.Limits.orDefaults() }

// Expires is when the session ends by itself.
func (s *Session) Expires() time.Time { return *s.expires.Load() }

func (s *Session) renew(until time.Time) {
	s.expires.Store(&until)
	s.timer.Reset(until.Sub(s.vault.o.Now()))
}

// Policy is the policy as it is now; the next request may find another.
func (s *Session) Policy() *policy.Set { return s.current.Load().set }

// Changed is closed when the policy is replaced: what is open under the old one asks
// again, and asks for the next Changed first.
func (s *Session) Changed() <-chan struct{} { return s.current.Load().changed }

// Caller is the session as one who asks the vault for something.
func (s *Session) Caller() Caller {
	return Caller{Name: "session " + s.row.ID, Role: RoleProxy, Vault: s.vault.id}
}

// Alive tells whether the session has neither ended nor expired.
func (s *Session) Alive() bool {
	select {
	case <-s.done:
		return false
	default:
	}
	if s.vault.o.Now().Before(s.Expires()) {
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

// MayUse tells whether Credential would give the value of key for host, without getting
// one that has to be fetched from elsewhere.
func (s *Session) MayUse(ctx context.Context, key, host string) error {
	if !s.Alive() {
		return ErrNoSession
	}
	o, err := s.vault.opened(ctx, key)
	if err != nil {
		return err
	}
	return o.bound(key, host)
}

// Credential is the value of a key that one of the session's services names. The
// session can reach no other: a run's proxy is no way to read the vault.
//
// host is where the value is to be sent: a credential that is bound to hosts is given
// for those alone, with ErrBound otherwise, whatever the services say.
func (s *Session) Credential(ctx context.Context, key, host string) (Value, error) {
	if !s.Alive() {
		return Value{}, ErrNoSession
	}
	if !s.Policy().Uses(key) {
		return Value{}, fmt.Errorf("%w: no service of this session uses %q", ErrNoCredential, clip(key, maxName))
	}
	return s.vault.credential(ctx, key, host)
}
