package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"

	"github.com/av-project/av/netiso"
)

// createKeeper creates the container that keeps the walls on the host for a user who may
// not change the host's rules. Who may has no use for it.
func (b *box) createKeeper(ctx context.Context) error {
	if b.HostWalls == WallsOff || b.NoFirewall || netiso.MayRaiseHostWalls() {
		return nil
	}
	image, err := b.builder().Gate(ctx)
	if err != nil {
		return err
	}
	create, done := b.creating(ctx)
	defer done()
	keeper, err := netiso.CreateKeeper(create, b.engine, b.run, image)
	if err != nil {
		return b.without(err)
	}
	b.keeper = keeper
	b.undo.add(rankGate, b.undo.afterAgent(keeper.Remove))
	return ctx.Err()
}

// raiseHostWalls puts up the second lock, as far as it is wanted.
func (b *box) raiseHostWalls(ctx context.Context, relay net.Addr) error {
	if b.HostWalls == WallsOff || b.NoFirewall || b.keeper == nil && !netiso.MayRaiseHostWalls() {
		return nil
	}
	walls, err := netiso.RaiseHostWalls(ctx, b.run, relay, b.keeper)
	if err != nil && (b.keeper != nil || errors.Is(err, exec.ErrNotFound)) {
		return b.without(err) // no iptables on this host is no walls to be had
	}
	if err != nil {
		return err
	}
	b.walls = walls
	if b.keeper == nil {
		b.undo.add(rankGate, b.undo.afterAgent(walls.Remove))
	}
	return nil
}

// without goes on without the second lock, unless it is required.
func (b *box) without(err error) error {
	if b.HostWalls == WallsRequire {
		return &noHostWalls{err}
	}
	b.Say(fmt.Sprintf("the walls in the box stand without the second ones on the host: %v", err))
	return nil
}

// noHostWalls is a second lock that was required and cannot be had.
type noHostWalls struct{ err error }

func (n *noHostWalls) Error() string { return fmt.Sprintf("no walls on the host: %v", n.err) }
func (n *noHostWalls) Unwrap() error { return n.err }
func (n *noHostWalls) Hint() string {
	return "nothing was run; run av as root, or with --host-walls=auto to do without them"
}
