package runner

import (
	"context"
	"errors"
	"sync"
	"time"
)

// undoTimeout bounds the taking apart of a run; an engine that does not answer for
// so long leaves the rest to prune. It is long for the reason that createTimeout is.
const undoTimeout = 3 * time.Minute

// rank says when a thing is taken down: what stands on another goes before it.
// Things of one rank do not depend on each other and go side by side.
type rank int

const (
	rankLease rank = iota // the sign of life goes last: until then nobody else cleans up
	rankLook              // what is left in the workspace is told while the folder still has what was there before
	rankSession
	rankNetwork
	rankRelay
	rankGate  // with the walls on the host, and the network under it
	rankAgent // first of all: it must not be alive without any of the others
	ranks
)

// undo holds how to take down what a run has put up. Every step that succeeds adds
// its own; nothing else has to know how far the run came.
type undo struct {
	mu sync.Mutex
	// agentLeft: the agent's container could not be removed, and may be alive.
	agentLeft bool
	steps     [ranks][]func(context.Context) error
}

func (u *undo) add(r rank, step func(context.Context) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps[r] = append(u.steps[r], step)
}

// afterAgent is a step that is not taken while the agent may be alive: the last lock stays on.
// The watchdog, or prune, takes it when the rest is gone.
func (u *undo) afterAgent(step func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if u.agentLeft { // written before this rank began
			return errors.New("the walls on the host stand until the agent's container is gone")
		}
		return step(ctx)
	}
}

// run takes everything down, highest rank first, whatever fails, on a context of
// its own: the run's may be the reason why we are here.
func (u *undo) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	u.mu.Lock()
	defer u.mu.Unlock()
	var failed []error
	for r := ranks - 1; r >= 0; r-- {
		results := make([]error, len(u.steps[r]))
		var group sync.WaitGroup
		for i, step := range u.steps[r] {
			group.Go(func() { results[i] = step(ctx) })
		}
		group.Wait()
		u.steps[r] = nil
		u.agentLeft = u.agentLeft || r == rankAgent && errors.Join(results...) != nil
		failed = append(failed, results...)
	}
	return errors.Join(failed...)
}
