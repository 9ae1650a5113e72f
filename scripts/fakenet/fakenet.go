// Package fakenet is an internet of three hosts in a network namespace: an API that wants a token, a name server, and an
// attacker's host that notes whatever reaches it.
// Nothing of it goes to a real address, and nothing of it outlives the process that made it, however that process ends.
package fakenet

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Where things are. The addresses are those that RFC 5737 and RFC 3849 keep for examples, so there is one fake
// internet at a time on a machine: New waits for its turn.
var (
	HostAddr   = netip.MustParseAddr("203.0.113.1") // this machine's end
	HostAddr6  = netip.MustParseAddr("2001:db8::1")
	APIAddr    = netip.MustParseAddr("203.0.113.10")
	VendorAddr = netip.MustParseAddr("203.0.113.20") // what a test serves, see Net.Vendor
	DNSAddr    = netip.MustParseAddr("203.0.113.53")
	SinkAddr   = netip.MustParseAddr("203.0.113.66") // the attacker's
	SinkAddr6  = netip.MustParseAddr("2001:db8::66")
)

// APIName is the API's name. The name server gives APIAddr for it and SinkAddr for every other name in test.
const APIName = "api.vendor.test"

// HighPort is a UDP port of the sink that no protocol claims.
const HighPort = 33434

// ErrNeedsRoot means that this process may not make a network namespace and links.
var ErrNeedsRoot = errors.New("the fake internet needs the rights of root over the network")

// Net is one fake internet. It is there until Close, or until the process ends.
type Net struct {
	space *space
	ca    *authority
	sinks *Sinks
	api   *API

	ctx     context.Context // ends with Close; what serves inside ends with it
	end     context.CancelFunc
	serving sync.WaitGroup
	closing sync.Once
	closed  error
}

// New makes the fake internet, waiting for any other on this machine to be closed. It needs root.
func New(ctx context.Context) (_ *Net, err error) {
	ca, err := newAuthority(time.Now())
	if err != nil {
		return nil, fmt.Errorf("make the fake internet's CA: %w", err)
	}
	space, err := newSpace(ctx)
	if err != nil {
		return nil, fmt.Errorf("make the fake internet: %w", err)
	}
	n := &Net{space: space, ca: ca, sinks: newSinks()}
	n.api = &API{secret: "fake-" + rand.Text(), sinks: n.sinks}
	n.ctx, n.end = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	for _, serve := range []func() error{n.capture, n.serveAPI, n.serveDNS, n.serveTCP, n.serveUDP} {
		if err := serve(); err != nil {
			return nil, fmt.Errorf("serve the fake internet: %w", err)
		}
	}
	return n, nil
}

// CAPEM is the certificate of the CA that vouches for every HTTPS server in here.
func (n *Net) CAPEM() []byte { return slices.Clone(n.ca.pem) }

// TLS is what a test's own HTTPS server in here serves with: certificates of the CA for any name in test.
func (n *Net) TLS() *tls.Config { return &tls.Config{GetCertificate: n.ca.forHello} }

// API is the vendor's API at APIAddr.
func (n *Net) API() *API { return n.api }

// Sinks is the record of what arrived.
func (n *Net) Sinks() *Sinks { return n.sinks }

// IPv6 tells whether the fake internet has IPv6: a kernel may be without.
func (n *Net) IPv6() bool { return n.space.ipv6 }

// Listen listens inside, for a test that brings a server of its own. The test closes the listener.
func (n *Net) Listen(addr netip.AddrPort) (ln net.Listener, err error) {
	err = n.space.do(func() (err error) {
		ln, err = net.Listen("tcp", addr.String())
		return err
	})
	return ln, err
}

// Settle returns when every packet that this machine has sent until now has been noted, so that one which is not
// in the record by then has not come. Packets that a container sent count from when its network let them go.
func (n *Net) Settle(ctx context.Context) error {
	marker := "settle-" + rand.Text()
	conn, err := net.Dial("udp", netip.AddrPortFrom(SinkAddr, HighPort).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(marker)); err != nil {
		return err
	}
	_, err = n.sinks.Wait(ctx, marker, UDP)
	return err
}

// Close takes the fake internet down: its servers, its link and its namespace.
func (n *Net) Close() error {
	n.closing.Do(func() {
		n.end()
		n.serving.Wait()
		n.closed = n.space.close()
	})
	return n.closed
}

// until closes c when the fake internet ends.
func (n *Net) until(c interface{ Close() error }) (stop func() bool) {
	return context.AfterFunc(n.ctx, func() { c.Close() })
}
