package netiso

import (
	"context"
	"sync"

	"github.com/av-project/av/netiso/firewall"
)

// Refused is what a run's walls have stopped, in packets.
type Refused = firewall.Refused

// ErrWallsChanged says that the box's walls are not those that were put up.
var ErrWallsChanged = firewall.ErrChanged

// Refused counts what the walls in the namespace have stopped since the gate has tried
// them, and what came as far as those on the host, which is -1 where it is not known. The
// gate has no right left to read a counter; it takes root on the host, and is an error
// without. What the host has counted is given with an error too: it matters most when
// the walls in the box are gone.
func (g *Gate) Refused(ctx context.Context, walls *HostWalls) (Refused, error) {
	dropped, failed := int64(-1), error(nil)
	var both sync.WaitGroup
	both.Go(func() { dropped, failed = walls.dropped(ctx) })
	counted, err := g.counted(ctx)
	both.Wait()
	if counted.HostDropped = dropped; failed != nil {
		counted.HostDropped = -1
	}
	return counted, err
}

func (g *Gate) counted(ctx context.Context) (Refused, error) {
	namespace, err := g.engine.NetworkNamespace(ctx, g.id)
	if err != nil {
		return Refused{}, err
	}
	counted, err := g.plan.ReadNamespace(ctx, namespace, g.raised.Backend, g.raised.Version)
	if err != nil {
		return Refused{}, err
	}
	counted.UDP -= g.raised.Tried.UDP
	counted.ICMP -= g.raised.Tried.ICMP
	counted.CaughtTCP -= g.raised.Tried.TCP
	return counted, nil
}
