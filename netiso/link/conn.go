package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is a connection over a link. Each of its directions can end by itself.
type Conn struct {
	link    *Link
	id      uint32
	purpose uint16
	guest   bool // opened by the other end
	changed *sync.Cond

	// All of this is guarded by the link's lock.
	unread   []byte // came, and was not read yet
	from     int    // unread begins here
	window   int    // bytes that may still come
	freed    int    // were read, and the other end does not know yet
	mayWrite int    // bytes that the other end still takes
	endIn    bool   // nothing more comes
	broke    bool   // because the other end gave up
	endOut   bool   // we have said that nothing more goes
	stopOut  bool   // the other end reads nothing more
	closed   bool
	readBy   deadline
	writeBy  deadline
}

// newConn is called with the link's lock held.
func newConn(l *Link, id uint32, purpose uint16) *Conn {
	c := &Conn{link: l, id: id, purpose: purpose, changed: sync.NewCond(&l.mu), window: connWindow, mayWrite: connWindow}
	l.conns[id] = c
	return c
}

// Purpose is the number that it was opened with.
func (c *Conn) Purpose() uint16 { return c.purpose }

// take acts on a frame. Called with the link's lock held.
func (c *Conn) take(h header, p []byte) error {
	switch h.kind {
	case data:
		switch {
		case len(p) > c.window:
			return errors.New("more data than there is room for")
		case c.endIn || c.closed:
			return nil // was on its way
		}
		c.window -= len(p)
		c.keep(p)
	case credit:
		if h.size > connWindow || c.mayWrite+int(h.size) > connWindow {
			return fmt.Errorf("room for %d bytes more than it was sent", h.size)
		}
		c.mayWrite += int(h.size)
	case ended:
		c.endIn, c.broke = true, c.broke || h.size == broken
	case stopped:
		c.stopOut = true
	}
	c.settle()
	c.changed.Broadcast()
	return nil
}

// keep adds to what is unread, in no more memory than the window.
func (c *Conn) keep(p []byte) {
	if c.from > 0 && len(c.unread)+len(p) > cap(c.unread) {
		c.unread = c.unread[:copy(c.unread, c.unread[c.from:])]
		c.from = 0
	}
	if need := len(c.unread) + len(p); need > cap(c.unread) {
		grown := make([]byte, len(c.unread), min(connWindow, max(need, 2*cap(c.unread), 4096)))
		copy(grown, c.unread)
		c.unread = grown
	}
	c.unread = append(c.unread, p...)
}

// settle forgets the connection when nothing more comes or goes.
func (c *Conn) settle() {
	if (c.endIn || c.closed) && (c.endOut || c.stopOut) {
		delete(c.link.conns, c.id)
	}
}

func (c *Conn) Read(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.readBy.over:
			return 0, os.ErrDeadlineExceeded
		case len(c.unread) > c.from:
			n := copy(p, c.unread[c.from:])
			if c.from += n; c.from == len(c.unread) {
				c.unread, c.from = c.unread[:0], 0
			}
			c.tellRead(n)
			return n, nil
		case c.broke:
			return 0, syscall.ECONNRESET
		case c.endIn:
			return 0, io.EOF
		case c.link.failed != nil:
			return 0, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, c.link.failed)
		case len(p) == 0:
			return 0, nil
		}
		c.changed.Wait()
	}
}

// tellRead makes room for more, once it is worth a frame.
func (c *Conn) tellRead(n int) {
	c.freed += n
	if c.endIn || c.freed < connWindow/2 {
		return
	}
	c.window += c.freed
	c.link.owe(header{kind: credit, id: c.id, size: uint32(c.freed)})
	c.freed = 0
}

func (c *Conn) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n, err := c.reserve(min(len(p), maxFrame))
		if err == nil {
			err = c.link.send(c.id, p[:n])
		}
		if err != nil {
			return written, err
		}
		written, p = written+n, p[n:]
	}
	return written, nil
}

// reserve waits until the other end takes something, want bytes at most.
func (c *Conn) reserve(want int) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case c.closed || c.endOut:
			return 0, net.ErrClosed
		case c.link.failed != nil:
			return 0, c.link.failed
		case c.stopOut:
			return 0, syscall.EPIPE
		case c.writeBy.over:
			return 0, os.ErrDeadlineExceeded
		case c.mayWrite > 0:
			n := min(want, c.mayWrite)
			c.mayWrite -= n
			return n, nil
		}
		c.changed.Wait()
	}
}

// CloseWrite says that nothing more goes. What comes is read as before.
func (c *Conn) CloseWrite() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.end(0)
	return nil
}

// Close ends both directions. What was written arrives.
func (c *Conn) Close() error { c.shut(0); return nil }

// Break is Close for a connection that did not come to its end: the other end of it finds
// that it was reset.
func (c *Conn) Break() { c.shut(broken) }

func (c *Conn) shut(how uint32) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return
	}
	c.end(how)
	if !c.endIn {
		c.link.owe(header{kind: stopped, id: c.id})
	}
	c.closed, c.unread = true, nil
	c.readBy.set(time.Time{}, c.changed)
	c.writeBy.set(time.Time{}, c.changed)
	if c.guest {
		c.link.guests--
	}
	c.settle()
	c.changed.Broadcast()
}

func (c *Conn) end(how uint32) {
	if c.endOut {
		return
	}
	c.endOut = true
	c.link.owe(header{kind: ended, id: c.id, size: how})
	c.settle()
	c.changed.Broadcast()
}

// deadline is the moment from which on one direction waits no more. It is guarded by the
// link's lock.
type deadline struct {
	over  bool
	timer *time.Timer
}

func (d *deadline) set(at time.Time, changed *sync.Cond) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	wait := time.Until(at)
	if d.over = !at.IsZero() && wait <= 0; at.IsZero() || d.over {
		return
	}
	var own *time.Timer
	own = time.AfterFunc(wait, func() {
		changed.L.Lock()
		defer changed.L.Unlock()
		if d.timer == own { // and no other was set meanwhile
			d.over = true
			changed.Broadcast()
		}
	})
	d.timer = own
}

// SetDeadline is for both directions, see net.Conn. It does not end a wait for the link
// itself, which all connections share.
func (c *Conn) SetDeadline(t time.Time) error      { return c.setDeadlines(t, &c.readBy, &c.writeBy) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.setDeadlines(t, &c.readBy) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeBy) }

func (c *Conn) setDeadlines(t time.Time, which ...*deadline) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	for _, d := range which {
		d.set(t, c.changed)
	}
	c.changed.Broadcast()
	return nil
}

func (c *Conn) LocalAddr() net.Addr  { return Addr{} }
func (c *Conn) RemoteAddr() net.Addr { return Addr{} }
