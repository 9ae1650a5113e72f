package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// serving is one call of Serve: a listener, and all that grew from it.
type serving struct {
	*Proxy
	ctx context.Context

	// outer speaks with our clients, inner with what they put into their tunnels.
	outer, inner           *http.Server
	outerQueue, innerQueue *queue
	outerTLS, innerTLS     *tls.Config

	strangers strangers
	leases    sync.Map // *vault.Session → *lease
	wg        sync.WaitGroup
}

// Serve accepts connections from ln until ctx ends. Then it closes all that it opened
// and waits for it. It may be called for several listeners at once.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := p.serving(ctx, ln.Addr())
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	s.wg.Go(func() { _ = s.outer.Serve(s.outerQueue) })
	s.wg.Go(func() { _ = s.inner.Serve(s.innerQueue) })

	err := s.accept(ln)
	if ctx.Err() != nil {
		err = nil
	}
	cancel()
	_ = ln.Close()
	_ = s.outer.Close()
	_ = s.inner.Close()
	s.wg.Wait()
	return err
}

func (p *Proxy) serving(ctx context.Context, addr net.Addr) *serving {
	s := &serving{
		Proxy:      p,
		ctx:        ctx,
		outerQueue: newQueue(addr),
		innerQueue: newQueue(addr),
	}
	s.outerTLS, s.innerTLS = s.tlsConfigs()
	s.outer = s.server(s.serveOuter)
	s.inner = s.server(s.serveInner)
	s.inner.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams}
	return s
}

func (s *serving) server(handle http.HandlerFunc) *http.Server {
	return &http.Server{
		Handler:           handle,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ConnContext:       withLink,
		ConnState:         stateChanged,
		ReadHeaderTimeout: s.headFor,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          s.errorLog,
		// "OPTIONS *" would be answered without a record.
		DisableGeneralOptionsHandler: true,
	}
}

// accept takes connections until the listener is closed.
func (s *serving) accept(ln net.Listener) error {
	var pause time.Duration
	for {
		conn, err := ln.Accept()
		if err == nil {
			pause = 0
			s.wg.Go(func() { s.admit(conn) })
			continue
		}
		if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		// Out of file descriptors, most likely. Others close theirs in the meantime.
		s.log.Warn("accept failed", "err", err)
		pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
		select {
		case <-s.ctx.Done():
		case <-time.After(pause):
		}
	}
}

// queue is a listener for connections that were already accepted.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	shut  chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), shut: make(chan struct{})}
}

// push hands c to the server. Once it says true, the server will close c.
func (q *queue) push(c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.shut:
		return false
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.shut:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.shut) })
	return nil
}

func (q *queue) Addr() net.Addr { return q.addr }
