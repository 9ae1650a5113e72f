package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

// Publish is a port of the box that is reached on the host's own loopback, and from
// nowhere else.
type Publish struct {
	Port uint16 // in the box
	Host uint16 // on the host; 0: a free one
}

// Published is one that was, and what came of it.
type Published struct {
	Publish
	Connections       int
	BytesIn, BytesOut int64 // into the box and out of it
}

// maxPublished is how many connections to published ports are carried at a time. A gate
// takes no more.
const maxPublished = 64

// acceptPause keeps a lack of files from becoming a busy loop.
const acceptPause = 5 * time.Millisecond

// publisher carries connections to published ports. Nothing in the box can begin one: it
// listens on the host, and what it hears it hands to the gate.
type publisher struct {
	ports     []publishedPort
	places    *semaphore.Weighted
	accepting sync.WaitGroup
	carrying  sync.WaitGroup
}

type publishedPort struct {
	listener *net.TCPListener
	mu       sync.Mutex
	Published
}

// listenPublished takes the ports on the host, all of them or none. Connections wait from
// then on, and are carried once the box is closed and proved.
func listenPublished(ports []Publish) (*publisher, error) {
	p := &publisher{ports: make([]publishedPort, len(ports)), places: semaphore.NewWeighted(maxPublished)}
	for i, want := range ports {
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), want.Host)
		listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(address))
		if err != nil {
			p.close()
			return nil, &notPublished{want, err}
		}
		want.Host = listener.Addr().(*net.TCPAddr).AddrPort().Port()
		p.ports[i].listener, p.ports[i].Publish = listener, want
	}
	return p, nil
}

// publish begins to carry what comes, and tells where.
func (b *box) publish(ctx context.Context) {
	for i := range b.published.ports {
		port := &b.published.ports[i]
		b.published.accepting.Go(func() { b.published.accept(ctx, port, b.gate.Carry) })
		b.Say(port.describe())
	}
}

// boxPorts are the ports of the box that the gate may be asked for.
func (p *publisher) boxPorts() (ports []uint16) {
	for i := range p.ports {
		ports = append(ports, p.ports[i].Port)
	}
	return ports
}

func (p Publish) describe() string {
	text := fmt.Sprintf("published 127.0.0.1:%d", p.Host)
	if p.Host != p.Port {
		text += fmt.Sprintf(" (port %d of the box)", p.Port)
	}
	return text
}

type carry func(ctx context.Context, client *net.TCPConn, port uint16) (in, out int64)

// accept takes connections until the port's listener is closed. Where as many are open as
// may be, the next waits in the kernel's queue.
func (p *publisher) accept(ctx context.Context, port *publishedPort, carry carry) {
	for {
		client, err := port.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// The client has gone again, or we are out of files for a moment.
			time.Sleep(acceptPause)
			continue
		}
		if p.places.Acquire(ctx, 1) != nil {
			client.Close()
			return
		}
		p.carrying.Go(func() {
			defer p.places.Release(1)
			in, out := carry(ctx, client, port.Port)
			port.mu.Lock()
			defer port.mu.Unlock()
			port.Connections++
			port.BytesIn += in
			port.BytesOut += out
		})
	}
}

func (p *publisher) close() {
	for i := range p.ports {
		if l := p.ports[i].listener; l != nil {
			l.Close()
		}
	}
}

// stop ends what is carried, which ends with ctx, and gives what was.
func (p *publisher) stop() (all []Published) {
	p.close()
	p.accepting.Wait()
	p.carrying.Wait()
	for i := range p.ports {
		all = append(all, p.ports[i].Published)
	}
	return all
}

// notPublished is a port of the host that cannot be listened on.
type notPublished struct {
	want Publish
	err  error
}

func (n *notPublished) Unwrap() error { return n.err }

func (n *notPublished) Error() string {
	switch {
	case errors.Is(n.err, syscall.EADDRINUSE):
		return fmt.Sprintf("port %d of this machine is taken already", n.want.Host)
	case errors.Is(n.err, fs.ErrPermission):
		return fmt.Sprintf("port %d of this machine is not yours to listen on", n.want.Host)
	}
	return fmt.Sprintf("cannot listen on 127.0.0.1:%d: %v", n.want.Host, n.err)
}

func (n *notPublished) Hint() string {
	return fmt.Sprintf("name another, such as --publish %d:%d, or --publish %[1]d:0 for any that is free", n.want.Port, uint32(n.want.Port)%50000+10000)
}
