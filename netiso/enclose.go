package netiso

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/netiso/gate"
	"github.com/av-project/av/netiso/link"
)

// Identity is who a run is towards the proxy, and how it knows the proxy.
type Identity struct {
	CA               []byte // PEM; the proxy's certificate is signed by it
	Certificate, Key []byte // PEM; the run's own
}

// ProxyPort on 127.0.0.1 in the box is where the gate takes what is meant for a proxy.
const ProxyPort = gate.ProxyPort

// GateUID is the user that no agent may be.
const GateUID = gate.UID

// plan is what the walls of a run depend on. A relay that is no address of a network
// leaves its box without a link.
func plan(run Run, relay net.Addr) firewall.Plan {
	p := firewall.Plan{Run: run.ID, Owner: run.Owner, GateUID: gate.UID, CatchPort: gate.CatchPort}
	if tcp, ok := relay.(*net.TCPAddr); ok {
		p.Bridge, p.Relay = run.Bridge(), tcp.AddrPort()
	}
	return p
}

// nowhere is what is tried in a box without a link: an address of TEST-NET-3 (RFC 5737).
var nowhere = netip.MustParseAddrPort("203.0.113.1:9")

// Enclose has the gate, which was started, put up the walls, and verifies them against the
// plan. When it returns nil the walls stand, and not before. relay is where the proxy
// listens: on the run's bridge, at the socket that the gate was created with, or at the
// gate's own Relay.
func (g *Gate) Enclose(ctx context.Context, run Run, relay net.Addr, id Identity, scriptSHA256 string) error {
	p := plan(run, relay)
	if err := p.Validate(); err != nil {
		return err
	}
	config := gate.Config{Relay: p.Relay, Canary: nowhere, Params: p.Params(), CA: id.CA, Certificate: id.Certificate, Key: id.Key, Publish: g.Publish}
	var canary *Canary
	switch _, config.Stream = relay.(link.Addr); {
	case config.Stream:
	case p.Linkless():
		config.Socket = socketInGate
	default:
		var err error
		if canary, err = NewCanary(p.Relay.Addr()); err != nil {
			return err
		}
		defer canary.Close()
		config.Canary = canary.Addr()
	}
	report, err := g.configure(ctx, config)
	if err == nil {
		err = Verify(p, scriptSHA256, report, canary)
	}
	if err == nil && config.Stream {
		err = g.tryRelay(ctx)
	}
	if err != nil {
		return &notEnclosed{err}
	}
	g.plan, g.raised = p, report
	return nil
}

// tryRelay has the gate reach the proxy over the link, which begins only after its report.
func (g *Gate) tryRelay(ctx context.Context) error {
	conn, err := g.call(ctx, gate.TryRelay)
	if err != nil {
		return fmt.Errorf("the relay cannot be reached: %w", err)
	}
	conn.Break()
	return nil
}

// Open has the gate serve without any walls: it serves names and connections, and holds
// nothing back. It is for looking whether the walls are what is in a program's way.
func (g *Gate) Open(ctx context.Context, relay net.Addr, id Identity) error {
	config := gate.Config{NoWalls: true, Relay: relay.(*net.TCPAddr).AddrPort(), CA: id.CA, Certificate: id.Certificate, Key: id.Key, Publish: g.Publish}
	_, err := g.configure(ctx, config)
	return err
}

// notEnclosed is a box whose walls could not be proved. Nothing is run in it.
type notEnclosed struct{ err error }

func (n *notEnclosed) Error() string { return fmt.Sprintf("the box is not closed: %v", n.err) }
func (n *notEnclosed) Unwrap() error { return n.err }
func (n *notEnclosed) Hint() string {
	return "nothing was run; the engine's kernel must have iptables, new or old, with the owner and conntrack matches"
}

// HostWalls is the second lock of one run, put up by this process or by a keeper.
type HostWalls struct {
	host   firewall.Host
	keeper *Keeper
	plan   firewall.Plan
}

// MayRaiseHostWalls tells whether this process may change the host's rules.
func MayRaiseHostWalls() bool {
	return firewall.MayChange() == nil
}

// RaiseHostWalls puts the run's walls up on the host. Where this process may not
// change the host's tables it wants a keeper.
func RaiseHostWalls(ctx context.Context, run Run, relay net.Addr, keeper *Keeper) (*HostWalls, error) {
	w := &HostWalls{plan: plan(run, relay), keeper: keeper}
	if keeper != nil {
		return w, keeper.Raise(ctx, w.plan)
	}
	var err error
	if w.host, err = firewall.OpenHost(); err != nil {
		return nil, err
	}
	return w, w.host.Apply(w.plan)
}

// Remove takes them down.
func (w *HostWalls) Remove(ctx context.Context) error {
	if w.keeper != nil {
		return w.keeper.Remove(ctx)
	}
	return w.host.Remove(w.plan)
}

// dropped counts the packets that came as far as these walls.
func (w *HostWalls) dropped(ctx context.Context) (int64, error) {
	if w == nil {
		return 0, firewall.ErrNotAllowed
	}
	if w.keeper != nil {
		answer, err := w.keeper.ask(ctx, firewall.Count, firewall.Count)
		return answer.Dropped, err
	}
	return w.host.Dropped(ctx, w.plan)
}
