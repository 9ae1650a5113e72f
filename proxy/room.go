package proxy

import "sync"

// room counts the handlers inside a tunnel, which HTTP/2 leaves running when the
// connection is gone, so that none outlives it.
type room struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

func (r *room) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.inside.Add(1)
	}
	return !r.closed
}

func (r *room) leave() { r.inside.Done() }

// shut lets nobody in any more and waits until all have left.
func (r *room) shut() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.inside.Wait()
}
