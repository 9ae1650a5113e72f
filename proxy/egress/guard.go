// Package egress opens the proxy's connections to upstreams.
// Whatever name it is given, it dials only addresses that it has judged: public ones,
// and those that an operator granted. Through a proxy of the network it does not dial
// by itself; what it judges then is told at dialThrough.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Resolver turns a name into addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dialer connects to an address; *net.Dialer is one. It is never given a name.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Guard judges, then dials.
type Guard struct {
	resolver Resolver
	dialer   Dialer
	hosts    string // the file of names that this machine knows by itself
	allow    Ranges
	proxy    *Proxy // nil: none
}

// Option is what an operator wants otherwise.
type Option func(*Guard)

// Allow lets every host have addresses in ranges.
func Allow(ranges Ranges) Option { return func(g *Guard) { g.allow = ranges } }

// Through makes p the way to all hosts that are not inside.
func Through(p *Proxy) Option { return func(g *Guard) { g.proxy = p } }

// New makes a Guard. A program hands in net.DefaultResolver and a net.Dialer.
func New(r Resolver, d Dialer, options ...Option) *Guard {
	g := &Guard{resolver: r, dialer: d, hosts: "/etc/hosts"}
	for _, option := range options {
		option(g)
	}
	return g
}

// Refused says that the guard would not dial, and why.
type Refused struct {
	Host   string
	Addr   netip.Addr // the first bad one
	Reason string
}

func (e *Refused) Error() string {
	if !e.Addr.IsValid() || e.Addr.String() == e.Host {
		return fmt.Sprintf("refusing to connect to %s: %s", e.Host, e.Reason)
	}
	return fmt.Sprintf("refusing to connect to %s at %s: %s", e.Host, e.Addr, e.Reason)
}

// Hint is what an operator does who means it.
func (e *Refused) Hint() string {
	if e.Reason == reasonMetadata || !e.Addr.IsValid() {
		return ""
	}
	return "if that address is meant, name it as upstream.address of a service, or its range in AV_EGRESS_ALLOW"
}

// Dial connects to host, which is a name or an IP literal. A valid grant is dialled
// instead of what the name resolves to.
func (g *Guard) Dial(ctx context.Context, host string, port uint16, grant netip.AddrPort) (net.Conn, error) {
	if grant.IsValid() {
		if reason := judgeGrant(grant); reason != "" {
			return nil, &Refused{host, grant.Addr(), reason}
		}
		return g.dialFirst(ctx, []netip.AddrPort{grant})
	}
	if g.proxy != nil && !g.proxy.spares(host, port) {
		return g.dialThrough(ctx, host, port)
	}
	addrs, err := g.resolve(ctx, host, complete(host))
	if err != nil {
		return nil, err
	}
	if _, err := g.judge(host, addrs); err != nil {
		return nil, err
	}
	return g.dialFirst(ctx, targets(addrs, port))
}

// judge condemns a name for one bad answer: an honest one has none, and a rebinding one
// could have the good answer tried first and time out. inside says that one of the
// addresses is fit only because an operator allowed it.
func (g *Guard) judge(host string, addrs []netip.Addr) (inside bool, err error) {
	for _, addr := range addrs {
		reason := judge(addr)
		switch {
		case reason == "":
		case g.allow.cover(addr):
			inside = true
		default:
			return false, &Refused{host, addr, reason}
		}
	}
	return inside, nil
}

// targets are the first of addrs, as they are dialled.
func targets(addrs []netip.Addr, port uint16) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, maxAttempts)
	for _, addr := range addrs[:min(len(addrs), maxAttempts)] {
		out = append(out, netip.AddrPortFrom(addr.Unmap(), port))
	}
	return out
}

// resolve is the only look-up: what it returns is judged and dialled, because a name
// can change its answer between two look-ups. query is the name as a resolver is asked.
func (g *Guard) resolve(ctx context.Context, host, query string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if addrs := inHosts(g.hosts, host); len(addrs) > 0 {
		return addrs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := g.resolver.LookupNetIP(ctx, "ip", query)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("resolve %s: %w", host, errNoAddress)
	}
	return addrs, nil
}

// complete says with a dot that the name is. Without it a resolver may go through its
// search list and find billing.corp.example for billing.
func complete(host string) string { return strings.TrimSuffix(host, ".") + "." }

var errNoAddress = errors.New("the name has no address")
