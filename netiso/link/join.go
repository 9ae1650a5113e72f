package link

import (
	"context"
	"io"
	"net"
	"sync"
)

// joinBuffer is what each direction of a joined connection holds, in bytes.
const joinBuffer = 16 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, joinBuffer); return &b }}

// Half is a connection of which each direction can end by itself, and that can be given
// up so that the other side sees it.
type Half interface {
	net.Conn
	CloseWrite() error
}

// Join carries between two connections until both directions have ended, or one of them
// breaks, or ctx ends; then it closes both. It tells how much came to each.
func Join(ctx context.Context, a, b Half) (toA, toB int64) {
	defer context.AfterFunc(ctx, func() { broke(a); broke(b) })()
	var other sync.WaitGroup
	other.Go(func() { toA = pump(a, b) })
	toB = pump(b, a)
	other.Wait()
	a.Close()
	b.Close()
	return toA, toB
}

// pump carries one direction. Where it breaks, both connections break.
func pump(to, from Half) int64 {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	// Both are hidden so that none takes a buffer of its own.
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *buffer)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		broke(to)
		broke(from)
	}
	return n
}

// broke closes a connection so that its other side finds it reset, and not ended.
func broke(c net.Conn) {
	switch c := c.(type) {
	case *Conn:
		c.Break()
		return
	case *net.TCPConn:
		_ = c.SetLinger(0)
	}
	c.Close()
}
