package runner

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/av-project/av/images"
	"github.com/av-project/av/netiso"
)

// Relay says how the gate reaches the proxy, and with it whether the box has a link.
type Relay int

const (
	// RelayAuto chooses for what there is.
	RelayAuto Relay = iota
	// RelaySocket: by a unix socket that the gate alone is given. The box is on no network
	// and has no link at all.
	RelaySocket
	// RelayBridge: on the gateway address of a network of the run's own, with walls on the
	// host as a second lock.
	RelayBridge
)

// choose settles what RelayAuto left open. confined: containers may not use the sockets
// of the host's programs. Who requires walls on the host requires something that they
// are walls of.
func (r Relay) choose(walls HostWalls, confined bool) Relay {
	switch {
	case r != RelayAuto:
		return r
	case confined || walls == WallsRequire:
		return RelayBridge
	}
	return RelaySocket
}

// confined tells whether SELinux is enforced: its policy for containers lets them speak
// to no socket of the host's, whatever is mounted.
func confined() bool {
	enforce, err := os.ReadFile("/sys/fs/selinux/enforce")
	return err == nil && bytes.HasPrefix(enforce, []byte("1"))
}

// enclose makes the namespace, and returns nil when its walls stand and are proved.
func (b *box) enclose(ctx context.Context) error {
	prove := b.encloseAlone
	if b.Relay == RelayBridge {
		prove = b.encloseOnBridge
	}
	if err := prove(ctx); err != nil {
		return err
	}
	b.undo.add(rankAgent, b.count)
	return nil
}

// encloseAlone makes a namespace that has no link to anything.
func (b *box) encloseAlone(ctx context.Context) (err error) {
	// Before the gate, which is given the socket's file.
	if b.relay, b.socket, err = netiso.ListenSocket(b.lease.Dir); err != nil {
		return err
	}
	err = together(
		func() error { return b.openSession(ctx) },
		func() error { return b.createGate(ctx) },
	)
	if err != nil {
		b.relay.Close() // nobody serves it yet
		return err
	}
	return b.proveWalls(ctx)
}

// encloseOnBridge makes one on a network of its own, with walls on the host.
func (b *box) encloseOnBridge(ctx context.Context) error {
	err := together(
		func() error { return b.openSession(ctx) },
		func() error { return b.createNetwork(ctx) },
		func() error { return b.createGate(ctx) },
		func() error { return b.createKeeper(ctx) },
	)
	if err != nil {
		return err
	}
	b.undo.add(rankGate, func(ctx context.Context) error {
		b.network.Drop(ctx, b.gate)
		return nil
	})
	// On the host's end of the run's bridge, and nowhere else.
	b.relay, err = net.Listen("tcp4", netip.AddrPortFrom(b.network.Gateway, 0).String())
	if err != nil {
		return fmt.Errorf("listen on the run's bridge: %w", err)
	}
	return together(
		func() error { return b.proveWalls(ctx) },
		func() error { return b.raiseHostWalls(ctx, b.relay.Addr()) },
	)
}

// proveWalls lets the proxy serve the relay, and the gate put up and try its walls.
func (b *box) proveWalls(ctx context.Context) error {
	b.undo.add(rankRelay, serve(ctx, b.session, b.relay))
	return b.gate.Enclose(ctx, b.run, b.relay.Addr(), b.session.Identity(), images.FirewallScriptSHA256())
}

func (b *box) createNetwork(ctx context.Context) error {
	create, done := b.creating(ctx)
	defer done()
	network, err := netiso.CreateNetwork(create, b.engine, b.run, b.Pool)
	if err != nil {
		return err
	}
	b.network = network
	b.undo.add(rankNetwork, network.Remove)
	b.lease.Tell(func(n *netiso.Note) { n.Network, n.Subnet = b.run.Network(), network.Subnet.String() })
	return ctx.Err()
}
