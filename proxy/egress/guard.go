// Package egress opens the proxy's connections to upstreams.
// Whatever name it is given, it dials only addresses that it has judged: public ones,
// and those that an operator granted.
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
}

// New makes a Guard. A program hands in net.DefaultResolver and a net.Dialer.
func New(r Resolver, d Dialer) *Guard { return &Guard{resolver: r, dialer: d, hosts: "/etc/hosts"} }

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
	if e.Reason == reasonMetadata {
		return ""
	}
	return "if that address is meant, name it as upstream.address of a service"
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
	addrs, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	// One bad answer condemns the name: an honest one has none, and a rebinding one
	// could have the good answer tried first and time out.
	for _, addr := range addrs {
		if reason := judge(addr); reason != "" {
			return nil, &Refused{host, addr, reason}
		}
	}
	targets := make([]netip.AddrPort, 0, maxAttempts)
	for _, addr := range addrs[:min(len(addrs), maxAttempts)] {
		targets = append(targets, netip.AddrPortFrom(addr.Unmap(), port))
	}
	return g.dialFirst(ctx, targets)
}

// resolve is the only look-up: what it returns is judged and dialled, because a name
// can change its answer between two look-ups.
func (g *Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if addrs := inHosts(g.hosts, host); len(addrs) > 0 {
		return addrs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	// The dot says that the name is complete. Without it a resolver may go through
	// its search list and find billing.corp.example for billing.
	addrs, err := g.resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(host, ".")+".")
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("resolve %s: %w", host, errNoAddress)
	}
	return addrs, nil
}

var errNoAddress = errors.New("the name has no address")
