package gate

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/av-project/av/netiso/link"
)

const (
	// MaxCalls is how many connections from outside, to published ports, are carried into
	// the box at a time.
	MaxCalls = 64
	// callTimeout bounds the dial to a port of the box. Only a server that does not
	// accept what waits for it takes so long.
	callTimeout = 10 * time.Second
	// TryRelay is the purpose of a connection by which av has the gate reach the relay.
	// Any other purpose is a port of the box.
	TryRelay = 0
	// Reached is what the gate answers, as one byte, when it has reached what the
	// connection is for. When it has not, it breaks the connection.
	Reached = 1
)

// Reserved tells whether a port of the box is the gate's own. Whoever reaches the
// proxy's acts as the run: it is never published.
func Reserved(port uint16) bool {
	return port == 0 || slices.Contains([]uint16{53, ProxyPort, CatchPort}, port)
}

// openLink begins the link over what is left of the gate's standard streams, if the run
// wants one, and gives what is closed when av has gone away.
func (s *server) openLink(c Config, rest io.Reader, out io.Writer) <-chan struct{} {
	if len(c.Publish) == 0 && !c.Stream {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, rest)
		}()
		return ended
	}
	s.link = link.New(link.OfGate, rest, out, MaxCalls+1)
	s.published = c.Publish
	if c.Stream {
		s.relay.stream = func() (net.Conn, error) { return s.link.Open(0) }
	}
	return s.link.Done()
}

// after gives what a stream holds behind what was read of it.
func after(read *bufio.Reader, stream io.Reader) io.Reader {
	return io.MultiReader(io.LimitReader(read, int64(read.Buffered())), stream)
}

// serveCalls carries what av opens, until the link ends.
func (s *server) serveCalls(ctx context.Context) error {
	for {
		call, err := s.link.Accept()
		if err != nil {
			return nil
		}
		s.group.Go(func() error { s.answer(ctx, call); return nil })
	}
}

// answer takes one call where it wants to go: to the relay, as a trial, or to a port of
// the box that the run publishes.
func (s *server) answer(ctx context.Context, call *link.Conn) {
	to, err := s.reach(ctx, call.Purpose())
	if err == nil {
		_, err = call.Write([]byte{Reached})
	}
	if err != nil {
		call.Break()
		return
	}
	if to == nil {
		call.Close()
		return
	}
	link.Join(ctx, to, call)
}

// reach gives no connection for the trial of the relay.
func (s *server) reach(ctx context.Context, purpose uint16) (*net.TCPConn, error) {
	if purpose == TryRelay {
		conn, err := s.relay.dial(ctx)
		if err != nil {
			return nil, err
		}
		return nil, conn.Close()
	}
	if Reserved(purpose) || !slices.Contains(s.published, purpose) {
		return nil, fmt.Errorf("port %d is not published", purpose)
	}
	return dialBox(ctx, purpose, callTimeout)
}

// dialBox connects to a server in the box, on either loopback address.
func dialBox(ctx context.Context, port uint16, patience time.Duration) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(netip127, port).String())
	if err != nil {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("::1", strconv.Itoa(int(port))))
	}
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}
