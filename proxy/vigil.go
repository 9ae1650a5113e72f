package proxy

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// vigil ends an exchange that stands still, or that takes too long.
type vigil struct {
	x           *exchange
	idle, total time.Duration
	cancel      context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

// watch gives a context that ends when no byte went by for idle, or total is over. Who
// has it calls rest when nothing is under way any more.
func (x *exchange) watch(ctx context.Context, idle, total time.Duration) (_ context.Context, rest func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	x.touch()
	v := &vigil{x: x, idle: idle, total: total, cancel: cancel}
	v.mu.Lock()
	v.timer = time.AfterFunc(min(idle, total), v.look)
	v.mu.Unlock()
	return ctx, func() {
		v.mu.Lock()
		v.over = true
		v.timer.Stop()
		v.mu.Unlock()
		cancel(nil)
	}
}

// touch notes that a byte went by.
func (x *exchange) touch() { x.active.Store(int64(time.Since(x.began))) }

func (v *vigil) look() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return
	}
	age := time.Since(v.x.began)
	still := age - time.Duration(v.x.active.Load())
	left := min(v.total-age, v.idle-still)
	switch {
	case left > 0:
		v.timer.Reset(left)
		return
	case age >= v.total:
		v.x.cutOff(tookTooLong(v.total))
	default:
		v.x.cutOff(stoodStill(v.idle))
	}
	v.over = true
	v.cancel(errCutOff)
	// A client that neither sends nor reads would hold the handler for ever. It has a
	// moment for the refusal, if there is still one to be sent.
	until := time.Now().Add(closeTimeout)
	client := http.NewResponseController(v.x)
	_ = client.SetReadDeadline(until)
	_ = client.SetWriteDeadline(until)
}

// cutOff notes why the proxy ends x by itself. The first reason stays.
func (x *exchange) cutOff(why refusal) error {
	x.cut.CompareAndSwap(nil, &why)
	return errCutOff
}
