package netiso

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/av-project/av/netiso/engine"
)

// DefaultPool is where runs' networks come from: 4,096 of them, far from Docker's
// own default pool, which holds about 31 networks.
var DefaultPool = netip.MustParsePrefix("10.83.0.0/16")

// PoolVariable names another pool than the default.
const PoolVariable = "AV_NETWORK_POOL"

// ParsePool reads where runs' networks shall come from; empty is the default. Only a
// private range will do: the box would be handed addresses that belong to somebody.
func ParsePool(s string) (netip.Prefix, error) {
	if s == "" {
		return DefaultPool, nil
	}
	pool, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, &badPool{s, "is no range of addresses"}
	case !pool.Addr().Is4():
		return netip.Prefix{}, &badPool{s, "is not IPv4, and a run's network is"}
	case pool != pool.Masked():
		return netip.Prefix{}, &badPool{s, fmt.Sprintf("begins within its range: is %s meant", pool.Masked())}
	case pool.Bits() > subnetBits:
		return netip.Prefix{}, &badPool{s, fmt.Sprintf("has no room for a run's network, which is a /%d", subnetBits)}
	case !slices.ContainsFunc(privateRanges, func(r netip.Prefix) bool { return r.Bits() <= pool.Bits() && r.Contains(pool.Addr()) }):
		return netip.Prefix{}, &badPool{s, "does not lie in a private range"}
	}
	return pool, nil
}

// privateRanges are those of RFC 1918.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
}

// badPool is a pool that no network is made in.
type badPool struct{ given, why string }

func (b *badPool) Error() string {
	return fmt.Sprintf("the pool %q of %s %s", b.given, PoolVariable, b.why)
}
func (b *badPool) Hint() string {
	return fmt.Sprintf("set it to a private range such as %s, or leave it unset", DefaultPool)
}

// subnetBits is the size of one run's network: the host, the gate and room.
const subnetBits = 28

// networkTries is how often another subnet is drawn when the engine finds that one
// taken: another start may have won it, or a network that is not the engine's.
const networkTries = 32

// Network is a run's bridge network.
type Network struct {
	engine *engine.Engine
	id     string
	Subnet netip.Prefix
	// Gateway is the host's address on the bridge.
	Gateway netip.Addr
}

// CreateNetwork makes the run's network on a free subnet of pool, which is DefaultPool
// where it is zero.
func CreateNetwork(ctx context.Context, e *engine.Engine, run Run, pool netip.Prefix) (*Network, error) {
	return createNetwork(ctx, e, run, pool, true)
}

// CreateOpenNetwork makes one that leads to wherever the host does, for Gate.Open.
func CreateOpenNetwork(ctx context.Context, e *engine.Engine, run Run, pool netip.Prefix) (*Network, error) {
	return createNetwork(ctx, e, run, pool, false)
}

func createNetwork(ctx context.Context, e *engine.Engine, run Run, pool netip.Prefix, internal bool) (*Network, error) {
	if !pool.IsValid() {
		pool = DefaultPool
	}
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
			Name: run.Network(), Bridge: run.Bridge(), Subnet: subnet, Gateway: gateway, Labels: run.Labels(), Internal: internal,
		})
		if err == nil {
			return &Network{engine: e, id: id, Subnet: subnet, Gateway: gateway}, nil
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
	return fmt.Sprintf("run `av prune`, look at `docker network ls` and `ip route`, or set %s to another private range", PoolVariable)
}
