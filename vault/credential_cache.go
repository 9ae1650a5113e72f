package vault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

const (
	// maxStale is how long a value may be used that another process has changed, and how
	// long it stays in memory after it was read.
	maxStale = time.Second
	// maxCached bounds the values in memory, and what a core dump would show.
	maxCached = 1024
)

// credentials are the rows that requests used a moment ago.
type credentials struct {
	mu    sync.Mutex
	byKey map[string]cached
}

type cached struct {
	opened
	read time.Time
}

func (c *credentials) get(key string, now time.Time) (opened, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	age := now.Sub(e.read)
	return e.opened, ok && age >= 0 && age < maxStale
}

func (c *credentials) put(key string, o opened, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil || len(c.byKey) >= maxCached {
		c.byKey = map[string]cached{}
	}
	c.byKey[key] = cached{o, now}
	time.AfterFunc(maxStale, func() { c.expire(key, now) })
}

// expire forgets what was read then, unless it was read again.
func (c *credentials) expire(key string, read time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[key].read.Equal(read) {
		delete(c.byKey, key)
	}
}

func (c *credentials) forget(keys ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		delete(c.byKey, key)
	}
}

func (c *credentials) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.byKey)
}

// forget is what memory does once a credential has changed.
func (v *Vault) forget(keys ...string) {
	v.credentials.forget(keys...)
	v.resolver.forget(keys...)
}

// credential is the value of key for host.
func (v *Vault) credential(ctx context.Context, key, host string) (Value, error) {
	o, err := v.opened(ctx, key)
	if err != nil {
		return Value{}, err
	}
	if err := o.bound(key, host); err != nil {
		return Value{}, err
	}
	return v.value(ctx, key, o)
}

// bound judges by what is sealed with the value: the services might have been written by
// somebody who can write the file.
func (o opened) bound(key, host string) error {
	if !o.covers(host) {
		return fmt.Errorf("%w: %s may not go to %q", ErrBound, key, clip(host, maxName))
	}
	return nil
}

// value is what o holds, or refers to.
func (v *Vault) value(ctx context.Context, key string, o opened) (Value, error) {
	if o.Ref == "" {
		return o.sealed, nil
	}
	return v.resolver.resolve(ctx, key, o.Version, o.reference())
}

// opened opens the sealed row of key, or remembers what it held a moment ago.
func (v *Vault) opened(ctx context.Context, key string) (opened, error) {
	if o, ok := v.credentials.get(key, v.o.Now()); ok {
		return o, nil
	}
	var o opened
	err := v.view(ctx, func(tx *store.Tx, data seal.Key) (err error) {
		now := v.o.Now()
		if o, err = v.openIn(tx, data, key); err == nil {
			v.credentials.put(key, o, now)
		}
		return err
	})
	if err != nil {
		return opened{}, fmt.Errorf("read credential: %w", noCredential(key, err))
	}
	return o, nil
}

// openIn returns store.ErrNoRow if there is no such credential.
func (v *Vault) openIn(tx *store.Tx, data seal.Key, key string) (opened, error) {
	row, err := tx.SecretRow(v.id, kindCredential, key)
	if err != nil {
		return opened{}, err
	}
	return openCredential(data, v.id, row)
}
