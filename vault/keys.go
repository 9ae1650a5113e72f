package vault

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// relockPause is how long a lock that this process could not open again is left alone:
// a busy proxy shall not ask, or work through Argon2id, for each request.
const relockPause = 10 * time.Second

// unlocked is the file's lock as it was opened: what was wrapped, the key that unwraps
// it, and the data key. It does not change; another one takes its place.
type unlocked struct {
	wrapped    seal.Wrapped
	generation int64
	// kek stays, so that a rotation by another process needs no password here.
	kek, data seal.Key
	// turn counts the locks that memory has held, this one included.
	turn int
}

// same tells whether the file's lock says the same in both.
func (u *unlocked) same(o *unlocked) bool {
	return u.generation == o.generation && u.wrapped.Method == o.wrapped.Method && bytes.Equal(u.wrapped.Box, o.wrapped.Box)
}

// current returns errOldKey if the rows are sealed with another data key.
func (u *unlocked) current(tx *store.Tx) error {
	n, err := tx.Generation()
	if err == nil && n != u.generation {
		return errOldKey
	}
	return missing(err)
}

// untouched returns errOldKey if the lock is another, be it only the password's.
func (u *unlocked) untouched(tx *store.Tx) error {
	method, box, err := tx.Lock()
	if err == nil && (method != u.wrapped.Method || !bytes.Equal(box, u.wrapped.Box)) {
		return errOldKey
	}
	return missing(err)
}

// keys are what memory holds of the file's lock.
type keys struct {
	// opening is held while a lock is opened: the first who needs the key waits for the
	// password and for Argon2id, and the others for the first.
	opening sync.Mutex
	refused refused

	mu   sync.Mutex
	held *unlocked
}

// refused is a lock that was not opened, and when.
type refused struct {
	lock *unlocked
	at   time.Time
	err  error
}

// get returns nil until the vault is unlocked.
func (k *keys) get() *unlocked {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held
}

func (k *keys) set(u *unlocked) {
	k.mu.Lock()
	defer k.mu.Unlock()
	u.turn = 1
	if k.held != nil {
		u.turn = k.held.turn + 1
	}
	k.held = u
}

// dataKey is the key that opens sealed rows, as this process last saw it. It stays in
// memory until the process ends. Who reads rows with it uses view.
func (v *Vault) dataKey(ctx context.Context) (seal.Key, error) {
	u, err := v.unlock(ctx)
	if err != nil {
		return seal.Key{}, err
	}
	return u.data, nil
}

// unlock returns the lock in memory, or opens it.
func (v *Vault) unlock(ctx context.Context) (*unlocked, error) {
	v.keys.opening.Lock()
	defer v.keys.opening.Unlock()
	if u := v.keys.get(); u != nil {
		return u, nil
	}
	u, err := v.openLock(ctx, nil)
	if err == nil {
		v.keys.set(u)
	}
	return u, err
}

// relock opens the lock again, which another process has changed since old.
func (v *Vault) relock(ctx context.Context, old *unlocked) error {
	v.keys.opening.Lock()
	defer v.keys.opening.Unlock()
	if v.keys.get() != old {
		return nil // somebody else here was faster
	}
	lock, err := v.readLock(ctx)
	if err != nil {
		return err
	}
	last, age := v.keys.refused, v.o.Now().Sub(v.keys.refused.at)
	if last.lock != nil && last.lock.same(lock) && age >= 0 && age < relockPause {
		return last.err
	}
	u, err := v.openLock(ctx, old)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrRelocked, err)
		if ctx.Err() == nil {
			v.keys.refused = refused{lock, v.o.Now(), err}
		}
		return err
	}
	v.keys.set(u)
	return nil
}
