package gate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/semaphore"
)

var netip127 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// maxConns is how many of the agent's connections are open at once. The next waits
// in the kernel's queue. Each holds about 90 KiB here, so that all of them stay
// within the 64 MiB that the gate's container has.
const maxConns = 384

// maxStreamed is the same where the relay is reached over the link: each connection then
// has a window of it here as well, which is full when the agent does not read.
const maxStreamed = 160

// places is how many connections of the agent are carried at a time.
func places(c Config) int64 {
	if c.Stream {
		return maxStreamed
	}
	return maxConns
}

// acceptPause keeps a lack of files from becoming a busy loop.
const acceptPause = 5 * time.Millisecond

// serveNames answers look-ups; it can start before the walls stand, for it reaches
// nothing.
func (s *server) serveNames() {
	s.group.Go(func() error { return s.names.serveUDP(s.dnsUDP) })
	s.group.Go(func() error { return s.names.serveTCP(s.dnsTCP) })
}

// serve carries connections until ctx ends, then closes them and waits.
func (s *server) serve(ctx context.Context) error {
	places := semaphore.NewWeighted(s.places)
	carry := func(listener net.Listener, one func(*net.TCPConn)) func() error {
		return func() error {
			return acceptLoop(listener, func(conn net.Conn) {
				if places.Acquire(ctx, 1) != nil {
					conn.Close()
					return
				}
				s.group.Go(func() error {
					defer places.Release(1)
					one(conn.(*net.TCPConn))
					return nil
				})
			})
		}
	}
	s.group.Go(carry(s.proxy, func(conn *net.TCPConn) { s.relay.carry(ctx, conn) }))
	s.group.Go(carry(s.catch, func(conn *net.TCPConn) {
		target, err := originalTarget(conn)
		if err != nil {
			reset(conn)
			return
		}
		s.relay.carryTo(ctx, conn, s.named(target))
	}))
	if s.link != nil {
		s.group.Go(func() error { return s.serveCalls(ctx) })
	}
	s.group.Go(func() error {
		<-ctx.Done()
		if s.link != nil {
			s.link.Close()
		}
		s.close()
		return nil
	})
	return s.group.Wait()
}

// named is the target of a caught connection as the proxy is asked for it: by name
// where the address is one that we gave for a name, else by address.
func (s *server) named(target netip.AddrPort) string {
	if name, ok := s.names.name(target.Addr()); ok {
		return net.JoinHostPort(name, strconv.Itoa(int(target.Port())))
	}
	return target.String()
}

// acceptLoop hands each connection to one until the listener closes.
func acceptLoop(listener net.Listener, one func(net.Conn)) error {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// The peer has gone again, or we are out of files for a moment.
			time.Sleep(acceptPause)
			continue
		}
		one(conn)
	}
}
