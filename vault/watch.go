package vault

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// Another process may change a credential or a service, or revoke a session, while this
// one holds sessions in memory. So the file is asked five times a second whether anybody
// has written to it; only if so, whether the vault's revision has grown, for most of what
// is written are records; and only then the rows are read again.
//
// Who cannot look cannot know what was revoked. When the file is gone, replaced or
// damaged, all sessions in memory end. A file that is only busy is given a second, which
// is what we promise, and then they end, too.
const (
	lookEvery = 200 * time.Millisecond
	maxBlind  = time.Second
)

// unknown is the revision of who has seen none.
const unknown = -1

// watcher owns the goroutine that looks.
type watcher struct {
	mu      sync.Mutex
	closed  bool
	stop    context.CancelFunc // nil until there was a session
	stopped chan struct{}

	// What was done, for tests: looks at the file, readings of all rows, and which look
	// led to the last one.
	looks, readings, lastReading atomic.Int64
}

// watch begins to watch, if nobody does yet. What is read after it returns is kept fresh.
func (v *Vault) watch(ctx context.Context) error {
	w := &v.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errors.New("the vault is closed")
	}
	if w.stop != nil {
		return nil
	}
	eye, err := v.db.Watch(ctx)
	if err != nil {
		return err
	}
	l := &look{vault: v, eye: eye, seen: unknown}
	if l.seen, err = l.revision(ctx); err != nil {
		return errors.Join(err, eye.Close())
	}
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	w.stopped = make(chan struct{})
	go l.run(ctx, w.stopped)
	return nil
}

// close stops the goroutine and waits for it.
func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.stop != nil {
		w.stop()
		<-w.stopped
	}
}

// look is what the goroutine knows.
type look struct {
	vault *Vault
	eye   *store.Watcher
	seen  int64     // the revision that memory is in line with
	blind time.Time // since when the file is busy; zero: it is not
	told  bool      // that nothing can be seen
}

func (l *look) run(ctx context.Context, stopped chan<- struct{}) {
	defer close(stopped)
	defer func() { _ = l.eye.Close() }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.vault.watcher.looks.Add(1)
		err := l.look(ctx)
		if ctx.Err() != nil {
			return
		}
		l.outcome(err, time.Now())
	}
}

// outcome ends all sessions if nothing could be seen, and for too long.
func (l *look) outcome(err error, now time.Time) {
	if err == nil {
		l.blind, l.told = time.Time{}, false
		return
	}
	l.seen = unknown
	if errors.Is(err, store.ErrBusy) {
		if l.blind.IsZero() {
			l.blind = now
		}
		if now.Sub(l.blind) < maxBlind {
			return
		}
	}
	l.vault.endBlind()
	if !l.told {
		l.told = true
		l.vault.o.Logger.Error("the vault cannot be read: its sessions end", "error", err)
	}
}

// endBlind ends what nobody looks after any more.
func (v *Vault) endBlind() {
	v.sessions.closeAll()
	v.credentials.forgetAll()
}

func (l *look) look(ctx context.Context) error {
	moved, err := l.eye.Moved(ctx)
	if err != nil || !moved && l.seen != unknown {
		return err
	}
	revision, err := l.revision(ctx)
	if err != nil || revision == l.seen {
		return err
	}
	return l.refresh(ctx)
}

// revision fails with ErrNoRow when the vault was deleted.
func (l *look) revision(ctx context.Context) (n int64, err error) {
	err = l.eye.View(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Revision(l.vault.id)
		return err
	})
	return n, err
}

// refresh brings memory in line with one state of the rows.
func (l *look) refresh(ctx context.Context) error {
	v := l.vault
	// A lock that another process has changed may want a password, here or at a request that
	// this waits for, and whoever should type it may be away: that is to be blind, too.
	waiting := time.AfterFunc(maxBlind, v.endBlind)
	defer waiting.Stop()
	return v.retry(ctx, func() (*unlocked, error) {
		u, err := v.unlock(ctx)
		waiting.Stop()
		if err != nil {
			return nil, err
		}
		err = l.readAll(ctx, u)
		waiting.Reset(maxBlind)
		return u, err
	})
}

func (l *look) readAll(ctx context.Context, u *unlocked) error {
	v := l.vault
	v.mirror.Lock()
	defer v.mirror.Unlock()
	var revision int64
	var services []policy.Service
	var open []store.Session
	err := l.eye.View(ctx, func(tx *store.Tx) (err error) {
		if revision, err = tx.Revision(v.id); err != nil {
			return err
		}
		if err := u.current(tx); err != nil {
			return err
		}
		if services, err = v.soundServices(tx, u.data); err != nil {
			return err
		}
		open, err = tx.OpenSessions(v.id, v.o.Now())
		return err
	})
	if err != nil {
		return err
	}
	v.sessions.keep(open)
	v.sessions.recompile(services)
	v.credentials.forgetAll()
	l.seen = revision
	v.watcher.readings.Add(1)
	v.watcher.lastReading.Store(v.watcher.looks.Load())
	return nil
}
