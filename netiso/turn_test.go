package netiso

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestOnlySoManyRunsArePutUpAtOnceAndAllOfThemInTheEnd(t *testing.T) {
	home := t.TempDir()
	var now, most, all atomic.Int32
	var group sync.WaitGroup
	for range 6 * turns() {
		group.Go(func() {
			done, err := AwaitTurn(t.Context(), home, func() {})
			if err != nil {
				t.Error(err)
				return
			}
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			all.Add(1)
			now.Add(-1)
			done()
		})
	}
	group.Wait()
	if int(most.Load()) > turns() || int(all.Load()) != 6*turns() {
		t.Errorf("%d at once of %d allowed, %d in all", most.Load(), turns(), all.Load())
	}
}

func TestStartThatIsInterruptedWaitsForNoTurn(t *testing.T) {
	home := t.TempDir()
	for range turns() {
		done, err := AwaitTurn(t.Context(), home, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer done()
	}
	interrupt := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupt)
	if _, err := AwaitTurn(ctx, home, func() {}); !errors.Is(err, interrupt) {
		t.Errorf("got %v", err)
	}
}
