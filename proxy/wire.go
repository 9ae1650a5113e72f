package proxy

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"sync/atomic"
)

// wire is an HTTP/1 connection whose requests have no two readings.
type wire struct {
	net.Conn
	link    *link
	framing framing
	bad     atomic.Pointer[malformed]
}

func (w *wire) Read(p []byte) (int, error) {
	for w.bad.Load() == nil {
		n, err := w.Conn.Read(p)
		n, bad := w.framing.scan(p[:n])
		if bad == nil {
			return n, err
		}
		fault := bad.(*malformed)
		fault.request = w.framing.request()
		w.bad.Store(fault)
		if n > 0 {
			return n, nil // what comes before the fault may be a whole request
		}
	}
	return w.fault()
}

// fault is what a read finds where the framing went wrong. The server reads ahead to
// see whether its client is still there, and an error would end the request that it is
// at, which may be a good one: until it comes to the bad one, what is there is dropped.
func (w *wire) fault() (int, error) {
	bad := w.bad.Load()
	var dropped [512]byte
	for w.link.turn() < bad.request {
		if _, err := w.Conn.Read(dropped[:]); err != nil {
			return 0, err
		}
	}
	return 0, bad
}

func (w *wire) Write(p []byte) (int, error) {
	if code, ok := bytes.CutPrefix(p, []byte("HTTP/1.1 ")); ok && w.link.handled < w.link.turn() && len(code) > 3 {
		w.link.answered, _ = strconv.Atoi(string(code[:3]))
	}
	return w.Conn.Write(p)
}

func (w *wire) CloseWrite() error { return closeWrite(w.Conn) }

// seenConn is a connection of which the first bytes were already read.
type seenConn struct {
	net.Conn
	head   []byte
	tunnel *tunnel
}

func (c *seenConn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *seenConn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// closeWhenDone closes c when ctx ends, unless stopped before.
func closeWhenDone(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.Close() })
}
