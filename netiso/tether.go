package netiso

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/av-project/av/netiso/engine"
)

const (
	// tetherTries is how often the watch is begun again when the engine breaks it off.
	tetherTries = 5
	tetherPause = 200 * time.Millisecond
	// tetherLasts is how long a watch has to last for the tries before it not to count.
	tetherLasts = time.Minute
)

// Tether watches that the gate stays on its own network and on no other, or on none where
// n is nil. Whoever may use
// the engine can connect it to a second one while the run goes on, by mistake or not:
// what was proved of the box was proved without it. The channel gets one error then, or
// when it can no longer be seen, and nothing when ctx ends.
func Tether(ctx context.Context, n *Network, g *Gate) <-chan error {
	torn := make(chan error, 1)
	go func() {
		var err error
		for tries := 0; tries < tetherTries; tries++ {
			began := time.Now()
			if err = watchConnections(ctx, n, g); ctx.Err() != nil {
				return
			}
			if c, ok := errors.AsType[*connected](err); ok {
				if n == nil {
					// The engine has no namespace to put it into, and would keep it as an
					// endpoint of that network which nobody can remove.
					_ = g.engine.Disconnect(ctx, c.id, g.id)
				}
				break
			}
			if time.Since(began) > tetherLasts {
				tries = 0
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(tetherPause):
			}
		}
		torn <- err
	}()
	return torn
}

// watchConnections returns when the gate is on another network, or the engine tells no
// more. What happened before the first event can be told is looked for by asking.
func watchConnections(ctx context.Context, n *Network, g *Gate) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	connections, failed := g.engine.Connections(ctx, time.Now())
	now, err := g.engine.ConnectedTo(ctx, g.id)
	if err != nil {
		return err
	}
	for id, name := range now {
		// Empty: the gate has ended, or not begun, and that is told elsewhere.
		if id != "" && !n.isOwn(id, name) {
			return &connected{id, name}
		}
	}
	for {
		select {
		case c := <-connections:
			if foreign(c, n, g.id) {
				return &connected{c.Network, c.Name}
			}
		case err := <-failed:
			return err
		}
	}
}

// foreign tells whether a connection takes the gate to a network that is not its own.
func foreign(c engine.Connection, own *Network, gate string) bool {
	return c.Container == gate && !own.isOwn(c.Network, c.Name)
}

// isOwn tells whether a network is the run's own. That of a run without one is the
// engine's "none", of which there is one, and whose name no other may have.
func (n *Network) isOwn(id, name string) bool {
	if n == nil {
		return name == engine.NoNetwork
	}
	return id == n.id
}

// connected is a box that somebody has connected to another network.
type connected struct{ id, network string }

func (c *connected) Error() string {
	return fmt.Sprintf("the box was connected to the network %q from outside; its walls were proved for its own network alone", c.network)
}
func (c *connected) Hint() string {
	return "run it again without `docker network connect`; what it shall reach, --allow names"
}
