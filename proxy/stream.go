package proxy

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/av-project/av/proxy/inject"
)

// stream is a WebSocket's connection to the upstream, counted. What its client says is
// rewritten where the service declares it.
type stream struct {
	io.ReadWriteCloser
	x      *exchange
	ctx    context.Context
	frames *inject.Frames
	// account is what the client's side draws on.
	account account

	mu     sync.Mutex
	closed bool
	late   *time.Timer
}

func countStream(body io.ReadCloser, t *trip, ctx context.Context) io.ReadCloser {
	// A 101's body is the connection; if it were not, the reverse proxy would say so.
	if rw, ok := body.(io.ReadWriteCloser); ok {
		return &stream{ReadWriteCloser: rw, x: t.x, ctx: ctx, frames: t.frames, account: t.account}
	}
	return body
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(p)
	s.x.touch()
	s.x.received.Add(int64(n))
	if err == io.EOF && s.ctx.Err() != nil {
		// An upstream that sees us go may end well. Then its client would be waited for.
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *stream) Write(p []byte) (int, error) {
	s.x.touch()
	if err := s.x.draw(s.account, len(p)); err != nil {
		return 0, err
	}
	if s.frames == nil {
		return s.send(p)
	}
	out, bad := s.frames.Feed(p)
	if bad != nil {
		s.end(bad)
	}
	if len(out) > 0 {
		if _, err := s.send(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (s *stream) send(p []byte) (int, error) {
	// Counted first: the answer to it may end the exchange before Write returns.
	s.x.sent.Add(int64(len(p)))
	n, err := s.ReadWriteCloser.Write(p)
	s.x.sent.Add(int64(n - len(p)))
	return n, err
}

// end gives the upstream some time to answer the close frame that it is sent, which is
// how the client hears of it: a frame of ours might land in the middle of one of the
// upstream's.
func (s *stream) end(why error) {
	reason := "the websocket was closed: " + why.Error()
	if key, ok := errors.AsType[*inject.KeyError](why); ok {
		reason = "the websocket was closed: the credential " + key.Key + " cannot be used"
	}
	s.x.late.Store(&reason)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.late = time.AfterFunc(closeTimeout, func() { _ = s.Close() })
	}
}

func (s *stream) Close() error {
	s.mu.Lock()
	s.closed = true
	if s.late != nil {
		s.late.Stop()
	}
	s.mu.Unlock()
	return s.ReadWriteCloser.Close()
}
