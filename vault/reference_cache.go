package vault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// keepFailure is how long a reference that could not be resolved is not tried again: a busy
// agent shall not start a program for each of its requests.
const keepFailure = time.Second

// resolver fetches what references name, and keeps it in memory for as long as they
// say. Nothing of it is ever written.
type resolver struct {
	now    func() time.Time
	getenv func(string) string
	// ctx ends with the vault, not with the request that happened to come first: others
	// wait for what it fetches.
	ctx    context.Context
	cancel context.CancelFunc

	flights singleflight.Group
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	byKey  map[string]fetched
}

// fetched is a value, or why there is none.
type fetched struct {
	id    string // of what was asked for: another version of the credential is another
	value Value
	err   error
	until time.Time
	timer *time.Timer
}

func newResolver(ctx context.Context, o Options) *resolver {
	r := &resolver{now: o.Now, getenv: o.Getenv, byKey: map[string]fetched{}}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

// resolve is the value that ref refers to for this version of key.
func (r *resolver) resolve(ctx context.Context, key string, version int, ref Reference) (Value, error) {
	id := fmt.Sprintf("%s %d %s:%s", key, version, ref.Kind, ref.Target)
	if f, ok := r.get(key, id); ok {
		return f.value, f.err
	}
	flight := r.flights.DoChan(id, func() (any, error) { return r.fly(key, id, ref) })
	select {
	case <-ctx.Done():
		return Value{}, ctx.Err()
	case landed := <-flight:
		if landed.Err != nil {
			return Value{}, landed.Err
		}
		return landed.Val.(Value), nil
	}
}

// fly is done by one for all who wait.
func (r *resolver) fly(key, id string, ref Reference) (Value, error) {
	if !r.begin() {
		return Value{}, context.Canceled
	}
	defer r.running.Done()
	// Whoever looked before the flight before this one landed starts another.
	if f, ok := r.get(key, id); ok {
		return f.value, f.err
	}
	b, err := ref.fetch(r.ctx, r.getenv)
	defer clear(b)
	if err != nil {
		err = fmt.Errorf("resolve credential %s: %w", key, err)
		r.put(key, fetched{id: id, err: err}, keepFailure)
		return Value{}, err
	}
	value := NewValue(b)
	r.put(key, fetched{id: id, value: value}, ref.keep())
	return value, nil
}

func (r *resolver) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.running.Add(1)
	}
	return !r.closed
}

func (r *resolver) get(key, id string) (fetched, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.byKey[key]
	return f, ok && f.id == id && r.now().Before(f.until)
}

func (r *resolver) put(key string, f fetched, keep time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if len(r.byKey) >= maxCached {
		r.drop()
	}
	if before, ok := r.byKey[key]; ok {
		before.timer.Stop()
	}
	f.until = r.now().Add(keep)
	f.timer = time.AfterFunc(keep, func() { r.expire(key, f.until) })
	r.byKey[key] = f
}

// expire takes a value out of memory, unless it was fetched again.
func (r *resolver) expire(key string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey[key].until.Equal(until) {
		delete(r.byKey, key)
	}
}

func (r *resolver) forget(keys ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if f, ok := r.byKey[key]; ok {
			f.timer.Stop()
			delete(r.byKey, key)
		}
	}
}

func (r *resolver) drop() {
	for _, f := range r.byKey {
		f.timer.Stop()
	}
	clear(r.byKey)
}

// close ends what runs, and waits for it.
func (r *resolver) close() {
	r.mu.Lock()
	r.closed = true
	r.drop()
	r.mu.Unlock()
	r.cancel()
	r.running.Wait()
}
