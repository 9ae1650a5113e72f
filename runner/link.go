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
	"github.com/av-project/av/netiso/engine"
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
	// RelayStream: over the stream by which av is attached to the gate anyway. The box has
	// no link here either. It is for engines that share no files with us that one could
	// connect to.
	RelayStream
)

// choose settles what RelayAuto left open. confined: containers may not use the sockets
// of the host's programs. Who requires walls on the host requires something that they
// are walls of.
func (r Relay) choose(walls HostWalls, confined bool, t engine.Traits) (Relay, error) {
	if t.Desktop || t.Rootless {
		if r == RelayBridge || walls == WallsRequire {
			return 0, errNoBridge
		}
		if r == RelayAuto && t.Desktop {
			return RelayStream, nil
		}
	}
	switch {
	case r != RelayAuto:
		return r, nil
	case confined && t.Rootless:
		return RelayStream, nil
	case confined || walls == WallsRequire:
		return RelayBridge, nil
	}
	return RelaySocket, nil
}

// chooseRelay settles how this run's gate reaches the proxy.
func (b *box) chooseRelay(ctx context.Context) (err error) {
	if b.NoFirewall {
		b.Relay = RelayBridge
		return nil
	}
	if b.traits, err = b.engine.Traits(ctx); err != nil {
		return err
	}
	b.Relay, err = b.Relay.choose(b.HostWalls, confined(), b.traits)
	return err
}

var errNoBridge = &noBridge{}

// noBridge is an engine whose bridges are not this machine's.
type noBridge struct{}

func (*noBridge) Error() string {
	return "this Docker engine's bridges are not this machine's: it runs without root, or in a virtual machine"
}
func (*noBridge) Hint() string {
	return "leave --relay=bridge and --host-walls=require out: the box then has no link that could be walled"
}

// Chosen is what a run would take, for those who only ask.
func (r Relay) Chosen(walls HostWalls, t engine.Traits) (Relay, error) {
	return r.choose(walls, confined(), t)
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
	if !b.NoFirewall { // else there is nothing that counts
		b.undo.add(rankAgent, b.count)
	}
	return nil
}

// encloseAlone makes a namespace that has no link to anything.
func (b *box) encloseAlone(ctx context.Context) (err error) {
	// Before the gate, which is given the socket's file.
	if b.Relay == RelaySocket {
		if b.relay, b.socket, err = netiso.ListenSocket(b.lease.Dir); err != nil {
			return err
		}
	}
	err = sideBySide(ctx, b.openSession, func(ctx context.Context) error {
		if err := b.createGate(ctx); err != nil {
			return err
		}
		return b.startGate(ctx)
	})
	if err != nil {
		if b.relay != nil {
			b.relay.Close() // nobody serves it yet
		}
		return err
	}
	if b.Relay == RelayStream {
		b.relay = b.gate.Relay()
	}
	return b.proveWalls(ctx)
}

// encloseOnBridge makes one on a network of its own, with walls on the host.
func (b *box) encloseOnBridge(ctx context.Context) error {
	if err := sideBySide(ctx, b.openSession, b.createNetwork, b.createGate, b.createKeeper); err != nil {
		return err
	}
	b.undo.add(rankGate, func(ctx context.Context) error {
		b.network.Drop(ctx, b.gate)
		return nil
	})
	if err := b.startGate(ctx); err != nil {
		return err
	}
	// On the host's end of the run's bridge, and nowhere else.
	var err error
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
	defer b.took.part(partVerify)()
	if b.NoFirewall {
		return b.gate.Open(ctx, b.relay.Addr(), b.session.Identity())
	}
	return b.gate.Enclose(ctx, b.run, b.relay.Addr(), b.session.Identity(), images.FirewallScriptSHA256())
}

func (b *box) createNetwork(ctx context.Context) error {
	defer b.took.part(partNetwork)()
	create, done := b.creating(ctx)
	defer done()
	newNetwork := netiso.CreateNetwork
	if b.NoFirewall {
		newNetwork = netiso.CreateOpenNetwork
	}
	network, err := newNetwork(create, b.engine, b.run, b.Pool)
	if err != nil {
		return err
	}
	b.network = network
	b.undo.add(rankNetwork, network.Remove)
	b.lease.Tell(func(n *netiso.Note) { n.Network, n.Subnet = b.run.Network(), network.Subnet.String() })
	return ctx.Err()
}
