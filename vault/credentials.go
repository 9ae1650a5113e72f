package vault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/av-project/av/vault/store"
)

const (
	// maxStale is how long a value may be used that another process has changed, and how
	// long it stays in memory after it was read.
	maxStale = time.Second
	// maxCached bounds the values in memory, and what a core dump would show.
	maxCached = 1024
)

// credentials are the values that requests used a moment ago.
type credentials struct {
	mu    sync.Mutex
	byKey map[string]cached
}

type cached struct {
	value Value
	read  time.Time
}

func (c *credentials) get(key string, now time.Time) (Value, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	age := now.Sub(e.read)
	return e.value, ok && age >= 0 && age < maxStale
}

func (c *credentials) put(key string, value Value, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil || len(c.byKey) >= maxCached {
		c.byKey = map[string]cached{}
	}
	c.byKey[key] = cached{value, now}
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

// credential opens the sealed row of key, or remembers what it held a moment ago.
func (v *Vault) credential(ctx context.Context, key string) (Value, error) {
	if value, ok := v.credentials.get(key, v.o.Now()); ok {
		return value, nil
	}
	// Before the lock: a password may have to be typed.
	if _, err := v.dataKey(ctx); err != nil {
		return Value{}, err
	}
	v.mirror.RLock()
	defer v.mirror.RUnlock()
	now := v.o.Now()
	var box []byte
	err := v.db.View(ctx, func(tx *store.Tx) (err error) {
		box, err = tx.Secret(v.id, kindCredential, key)
		return err
	})
	if err != nil {
		return Value{}, fmt.Errorf("read credential: %w", noCredential(key, err))
	}
	plain, err := v.open(ctx, kindCredential, key, box)
	if err != nil {
		return Value{}, err
	}
	defer clear(plain)
	value := NewValue(plain)
	v.credentials.put(key, value, now)
	return value, nil
}
