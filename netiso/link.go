package netiso

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/av-project/av/netiso/gate"
	"github.com/av-project/av/netiso/link"
)

const (
	// maxRelayed is how many connections to the proxy a gate may have open over the link.
	// It is more than a gate opens that keeps to its own ceiling, for the proxy may take a
	// moment to see that one has ended.
	maxRelayed = 512
	// dialTimeout bounds the gate's answer to a connection to a port of the box. It is
	// longer than the gate's own patience.
	dialTimeout = 20 * time.Second
)

// Reserved tells whether a port of the box is the gate's, and cannot be published.
func Reserved(port uint16) bool { return gate.Reserved(port) }

// joinGate begins av's end of the link over what is left of the gate's streams, if the run
// wants one. A gate that breaks the link's rules loses its standard input, and ends by that.
func (g *Gate) joinGate(c gate.Config, stdout *io.PipeReader, rest io.Reader) {
	if len(c.Publish) == 0 && !c.Stream {
		// Nothing more is expected; what comes is read so that the gate cannot block on it.
		g.output.Go(func() { _, _ = io.Copy(io.Discard, rest) })
		return
	}
	welcome := 0 // the gate opens nothing but connections to the proxy
	if c.Stream {
		welcome = maxRelayed
	}
	g.link = link.New(link.OfAv, rest, g.stdio, welcome)
	close(g.linked)
	g.output.Go(func() {
		<-g.link.Done()
		g.stdio.Close()
		stdout.Close()
		g.link.Wait()
	})
}

// Relay is a listener for the connections to the proxy that the gate opens over the link.
// It can be served before the gate has started.
func (g *Gate) Relay() net.Listener {
	return &relayListener{gate: g, closed: make(chan struct{})}
}

type relayListener struct {
	gate   *Gate
	once   sync.Once
	closed chan struct{}
}

func (r *relayListener) Accept() (net.Conn, error) {
	select {
	case <-r.closed:
		return nil, net.ErrClosed
	case <-r.gate.linked:
	}
	conn, err := r.gate.link.AcceptUntil(r.closed)
	if err != nil {
		// A gate that has ended opens nothing more: that is told elsewhere.
		<-r.closed
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (r *relayListener) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}
func (r *relayListener) Addr() net.Addr { return link.Addr{} }

// call opens a connection over the link and waits until the gate has reached what it is
// for.
func (g *Gate) call(ctx context.Context, purpose uint16) (*link.Conn, error) {
	if g.link == nil {
		return nil, errors.New("there is no link to the gate")
	}
	conn, err := g.link.Open(purpose)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, conn.Break)()
	answer := make([]byte, 1)
	err = conn.SetReadDeadline(time.Now().Add(dialTimeout))
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err == nil && answer[0] != gate.Reached {
		err = errors.New("the gate answers what it cannot")
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		conn.Break()
		return nil, err
	}
	return conn, nil
}

// Carry joins a client to a port of the box until one of them ends, and tells how much
// went in and came out. A client whose port nobody serves is reset, as it would be by
// the port itself.
func (g *Gate) Carry(ctx context.Context, client *net.TCPConn, port uint16) (in, out int64) {
	conn, err := g.call(ctx, port)
	if err != nil {
		_ = client.SetLinger(0)
		client.Close()
		return 0, 0
	}
	out, in = link.Join(ctx, client, conn)
	return in, out
}
