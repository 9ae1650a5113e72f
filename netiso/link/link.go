// Package link carries many connections over one stream of bytes, in both directions:
// the standard input and output that join a gate to its av.
// What one end may take of the other is bounded, whatever that one sends: how many
// connections it has open, what is kept of each, and what waits to be sent to it.
package link

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

const (
	// connWindow is what one end sends of a connection, in bytes, before the other has
	// read it. A connection that nobody reads stands still by that, and holds up no other.
	connWindow = 128 << 10
	// maxFrame is the longest piece of data that is sent at a time, in bytes: between two
	// pieces of one connection those of others find their place.
	maxFrame = 16 << 10
	// maxOwed is how many answers to the other end may wait to be sent. One that keeps to
	// the rules reads what it is sent, and never comes near.
	maxOwed = 8192
)

// Side tells the two ends apart: they draw the numbers of their connections from different
// halves.
type Side uint32

const (
	OfAv   Side = 1
	OfGate Side = 2
)

// Link is one end. It is safe for concurrent use.
type Link struct {
	side    Side
	welcome int // how many connections the other end may have open here
	arrived chan *Conn

	mu     sync.Mutex
	conns  map[uint32]*Conn // those of which something may still come or go
	next   uint32           // the number of the next one that is opened here
	last   uint32           // of the last one that was opened there
	guests int              // opened there, and not yet closed here
	owed   []header         // to be sent, in order
	failed error            // why nothing more is carried
	done   chan struct{}    // closed with failed set
	wake   chan struct{}    // owed has become longer

	out   sync.Mutex // one frame is written at a time
	to    io.Writer
	frame []byte

	working sync.WaitGroup
}

// New makes one end of a link. The other may have so many connections open here as
// welcome says; where that is none, one that it opens is the end of the link.
// The link ends when from does, and Close does not interrupt a read of it: whoever
// owns it closes it.
func New(side Side, from io.Reader, to io.Writer, welcome int) *Link {
	l := &Link{
		side: side, welcome: welcome, arrived: make(chan *Conn, welcome),
		conns: map[uint32]*Conn{}, next: uint32(side),
		done: make(chan struct{}), wake: make(chan struct{}, 1),
		to: to, frame: make([]byte, 0, headerSize+maxFrame),
	}
	l.working.Go(func() { l.fail(l.hear(bufio.NewReaderSize(from, 2*maxFrame))) })
	l.working.Go(l.pay)
	return l
}

// ErrRules is what a link ends with when the other end sends what it may not.
var ErrRules = errors.New("the other end of the link breaks its rules")

// ErrClosed is what a link's connections fail with once Close was called.
var ErrClosed = errors.New("the link is closed")

// Close ends every connection. It waits for nothing: see Wait.
func (l *Link) Close() error { l.fail(ErrClosed); return nil }

// Wait returns when the link has ended and from is not read any more.
func (l *Link) Wait() { l.working.Wait() }

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err is why it has.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *Link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(err)
}

func (l *Link) failLocked(err error) {
	if l.failed != nil {
		return
	}
	l.failed = err
	close(l.done)
	for _, c := range l.conns {
		c.changed.Broadcast()
	}
}

// Open opens a connection. What it is for, the other end is told by a number.
func (l *Link) Open(purpose uint16) (*Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return nil, l.failed
	}
	if l.next > 1<<32-4 {
		return nil, errors.New("the link has no number left for a connection")
	}
	c := newConn(l, l.next, purpose)
	l.next += 2
	l.owe(header{kind: opened, id: c.id, size: uint32(purpose)})
	return c, nil
}

// Accept gives the next connection that the other end has opened.
func (l *Link) Accept() (*Conn, error) {
	select {
	case c := <-l.arrived:
		return c, nil
	case <-l.done:
		return nil, l.Err()
	}
}

// owe puts an answer into the queue. The reading of what comes never waits for the
// sending of what goes: both ends would wait for each other. Called with mu held.
func (l *Link) owe(h header) {
	if l.failed != nil {
		return
	}
	if len(l.owed) == maxOwed {
		l.failLocked(fmt.Errorf("%w: it does not read its answers", ErrRules))
		return
	}
	l.owed = append(l.owed, h)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// pay sends what is owed.
func (l *Link) pay() {
	var due []header
	for {
		select {
		case <-l.wake:
		case <-l.done:
			return
		}
		// Under out, so that of what is said of one connection nothing overtakes another.
		l.out.Lock()
		l.mu.Lock()
		due, l.owed = l.owed, due[:0]
		l.mu.Unlock()
		err := l.flush(due)
		l.out.Unlock()
		if err != nil {
			l.fail(fmt.Errorf("write to the link: %w", err))
			return
		}
	}
}

// flush writes headers, as many at a time as have room in a frame. Called with out held.
func (l *Link) flush(due []header) error {
	for len(due) > 0 {
		n := min(len(due), cap(l.frame)/headerSize)
		l.frame = l.frame[:0]
		for _, h := range due[:n] {
			l.frame = h.append(l.frame)
		}
		if _, err := l.to.Write(l.frame); err != nil {
			return err
		}
		due = due[n:]
	}
	return nil
}

// send writes one piece of a connection's data. Before it goes what is owed, among that
// the connection's beginning.
func (l *Link) send(id uint32, p []byte) error {
	l.out.Lock()
	defer l.out.Unlock()
	l.mu.Lock()
	due := l.owed
	l.owed = nil
	failed := l.failed
	l.mu.Unlock()
	if failed != nil {
		return failed
	}
	err := l.flush(due)
	if err == nil {
		l.frame = append(header{kind: data, id: id, size: uint32(len(p))}.append(l.frame[:0]), p...)
		_, err = l.to.Write(l.frame)
	}
	if err != nil {
		l.fail(fmt.Errorf("write to the link: %w", err))
	}
	return err
}

// hear takes in what the other end sends, until that ends or breaks a rule.
func (l *Link) hear(from *bufio.Reader) error {
	var raw [headerSize]byte
	piece := make([]byte, maxFrame)
	for {
		if _, err := io.ReadFull(from, raw[:]); err != nil {
			return err
		}
		h := readHeader(raw)
		var p []byte
		if h.kind == data {
			if h.size == 0 || h.size > maxFrame {
				return fmt.Errorf("%w: a piece of %d bytes", ErrRules, h.size)
			}
			p = piece[:h.size]
			if _, err := io.ReadFull(from, p); err != nil {
				return err
			}
		}
		if err := l.take(h, p); err != nil {
			return fmt.Errorf("%w: %w", ErrRules, err)
		}
	}
}

// take acts on one frame. One for a connection that is over here is no fault: it may
// have been on its way.
func (l *Link) take(h header, p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.kind == opened {
		return l.greet(h)
	}
	c := l.conns[h.id]
	switch {
	case h.kind > stopped || h.kind == 0:
		return fmt.Errorf("a frame of kind %d", h.kind)
	case c == nil:
		return nil
	}
	return c.take(h, p)
}

// greet takes a new connection, or refuses it where there are too many. Called with mu
// held.
func (l *Link) greet(h header) error {
	switch {
	case l.welcome == 0:
		return errors.New("a connection, and it may open none")
	case h.id <= l.last || h.id%2 == uint32(l.side)%2:
		return fmt.Errorf("a connection with the number %d", h.id)
	case h.size > 1<<16-1:
		return fmt.Errorf("a connection for the purpose %d", h.size)
	}
	l.last = h.id
	if l.guests >= l.welcome {
		l.owe(header{kind: ended, id: h.id, size: broken})
		l.owe(header{kind: stopped, id: h.id})
		return nil
	}
	l.guests++
	c := newConn(l, h.id, uint16(h.size))
	c.guest = true
	l.arrived <- c // has room for all guests, and each is closed after it was taken out
	return nil
}

// AcceptUntil is Accept for who may stop before the link does: it fails with net.ErrClosed
// once stop is closed, and where there is no link any more.
func (l *Link) AcceptUntil(stop <-chan struct{}) (net.Conn, error) {
	select {
	case c := <-l.arrived:
		return c, nil
	case <-stop:
	case <-l.done:
	}
	return nil, net.ErrClosed
}

// Addr is the address of what has none. It is never taken for one of this machine.
type Addr struct{}

func (Addr) Network() string { return "link" }
func (Addr) String() string  { return "link" }
