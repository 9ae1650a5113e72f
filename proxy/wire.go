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
	if bad := w.bad.Load(); bad != nil {
		return 0, bad
	}
	n, err := w.Conn.Read(p)
	if n, bad := w.framing.scan(p[:n]); bad != nil {
		w.bad.Store(bad.(*malformed))
		if n == 0 {
			return 0, bad
		}
		return n, nil // what comes before the fault may be a whole request
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	if code, ok := bytes.CutPrefix(p, []byte("HTTP/1.1 ")); ok && w.link.unread && len(code) > 3 {
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
