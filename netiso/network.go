package netiso

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/av-project/av/netiso/engine"
)

// DefaultPool is where runs' networks come from: 4,096 of them, far from Docker's
// own default pool, which holds about 31 networks.
var DefaultPool = netip.MustParsePrefix("10.83.0.0/16")

// subnetBits is the size of one run's network: the host, the gate and room.
const subnetBits = 28

// networkTries is how often another subnet is drawn when the engine finds that one
// taken: another start may have won it, or a network that is not the engine's.
const networkTries = 32

// Network is a run's bridge network.
type Network struct {
	engine *engine.Engine
	id     string
	// Gateway is the host's address on the bridge.
	Gateway netip.Addr
}

// CreateNetwork makes the run's network on a free subnet of pool.
func CreateNetwork(ctx context.Context, e *engine.Engine, run Run, pool netip.Prefix) (*Network, error) {
	used, err := usedPrefixes(ctx, e)
	if err != nil {
		return nil, err
	}
	for range networkTries {
		subnet, ok := freeSubnet(pool, used, rand.Uint32())
		if !ok {
			return nil, &poolFull{pool}
		}
		gateway := subnet.Addr().Next()
		id, err := e.CreateNetwork(ctx, engine.Network{
			Name: run.Network(), Bridge: run.Bridge(), Subnet: subnet, Gateway: gateway, Labels: run.Labels(),
		})
		if err == nil {
			return &Network{engine: e, id: id, Gateway: gateway}, nil
		}
		if !errors.Is(err, engine.ErrConflict) {
			return nil, err
		}
		used = append(used, subnet)
	}
	return nil, fmt.Errorf("create network %s: the engine refused %d subnets of %s as taken", run.Network(), networkTries, pool)
}

// Remove removes the network. What is still attached to it keeps it: that goes first.
func (n *Network) Remove(ctx context.Context) error { return n.engine.RemoveNetwork(ctx, n.id) }

// Drop takes the gate off the network and removes it, while the gate's container is
// still being removed. It is the quick way and may fail, if the gate has died, say;
// Remove after it does what it left.
func (n *Network) Drop(ctx context.Context, g *Gate) {
	if n.engine.Disconnect(ctx, n.id, g.id) == nil {
		_ = n.Remove(ctx)
	}
}

// usedPrefixes lists what a new network must not overlap: the engine's networks and
// the host's routes, among them a VPN's.
func usedPrefixes(ctx context.Context, e *engine.Engine) ([]netip.Prefix, error) {
	networks, err := e.Networks(ctx, nil)
	if err != nil {
		return nil, err
	}
	used, err := hostRoutes()
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		used = append(used, n.Subnets...)
	}
	return used, nil
}

// freeSubnet finds a subnet of pool that overlaps nothing in used, looking from a
// drawn place on, so that starts at the same moment seldom try the same one.
func freeSubnet(pool netip.Prefix, used []netip.Prefix, draw uint32) (netip.Prefix, bool) {
	if !pool.Addr().Is4() || pool.Bits() > subnetBits {
		return netip.Prefix{}, false
	}
	count := uint32(1) << (subnetBits - pool.Bits())
	base := binary.BigEndian.Uint32(pool.Masked().Addr().AsSlice())
	for i := range count {
		place := (draw%count + i) % count
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], base+place<<(32-subnetBits))
		subnet := netip.PrefixFrom(netip.AddrFrom4(a), subnetBits)
		if !overlapsAny(subnet, used) {
			return subnet, true
		}
	}
	return netip.Prefix{}, false
}

func overlapsAny(p netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if u.Overlaps(p) {
			return true
		}
	}
	return false
}

// poolFull is a pool with no subnet left.
type poolFull struct{ pool netip.Prefix }

func (p *poolFull) Error() string {
	return fmt.Sprintf("no subnet of %s is free: every one is a network's or a route's", p.pool)
}
func (p *poolFull) Hint() string {
	return "run `av prune`, or look at `docker network ls` and `ip route`"
}
