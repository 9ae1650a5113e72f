package runner

import (
	"sync"
	"time"
)

// Parts of a start, as Spec.Took names them. Some go side by side.
const (
	partImages  = "images"  // look for both images
	partTurn    = "turn"    // wait for other runs that are starting
	partNetwork = "network" // make the network, where the box is on one
	partGate    = "gate"    // create the gate's container and start it
	partVerify  = "verify"  // from then on until the walls stand and are proved
	partAgent   = "agent"   // create the command's container and put in what it lacks
	partCommand = "command" // start that
)

// took notes how long the parts of a start have taken.
type took struct {
	mu    sync.Mutex
	parts map[string]time.Duration
}

// part begins one, and gives how to end it. A part that has several pieces is their sum.
func (t *took) part(name string) (end func()) {
	began := time.Now()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.parts == nil {
			t.parts = map[string]time.Duration{}
		}
		t.parts[name] += time.Since(began)
	}
}
