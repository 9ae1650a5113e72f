package netiso

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/netiso/gate"
)

// Verify decides whether the gate's report shows the walls that were planned. Any
// doubt is an error, and nothing starts. A box without a link has no canary.
func Verify(plan firewall.Plan, scriptSHA256 string, report gate.Report, canary *Canary) error {
	if report.ScriptSHA256 != scriptSHA256 {
		return errors.New("the gate ran another firewall script than ours")
	}
	if err := plan.Verify(report.Rules); err != nil {
		return err
	}
	if plan.Linkless() {
		return judgeLinks(report.Links)
	}
	if n := canary.Touched(); n != 0 {
		return fmt.Errorf("a port beside the relay was reached %d times from inside the box", n)
	}
	return nil
}

// judgeLinks is an error where a namespace has a link to anything outside of it. Kernels
// put devices for tunnels into every new namespace (tunl0, sit0, and the like): they are
// down, and to take them up wants a right that nobody in the box has.
func judgeLinks(links []gate.Link) error {
	ends := map[string]string{}
	for _, l := range links {
		switch {
		case l.Peer != "":
			ends[l.Name] = l.Peer
		case l.Name == "lo", !l.Up:
		default:
			return fmt.Errorf("the box has a link that leads out of it: %s", l.Name)
		}
	}
	for name, peer := range ends {
		if ends[peer] != name {
			return fmt.Errorf("the box has a link that leads out of it: %s", name)
		}
	}
	return nil
}

// Canary is a listener beside the relay that must not be reachable from the box.
// The gate tries; the sink, not the attacker's word, decides.
type Canary struct {
	listener net.Listener
	touched  atomic.Int32
	done     chan struct{}
}

// NewCanary listens on a free port of addr.
func NewCanary(addr netip.Addr) (*Canary, error) {
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return nil, fmt.Errorf("listen beside the relay: %w", err)
	}
	c := &Canary{listener: listener, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.touched.Add(1)
			conn.Close()
		}
	}()
	return c, nil
}

// Addr is where the canary listens.
func (c *Canary) Addr() netip.AddrPort {
	return c.listener.Addr().(*net.TCPAddr).AddrPort()
}

// Touched counts the connections that came.
func (c *Canary) Touched() int { return int(c.touched.Load()) }

// Close stops listening.
func (c *Canary) Close() error {
	err := c.listener.Close()
	<-c.done
	return err
}
