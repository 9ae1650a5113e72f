package proxy

import (
	"context"
	"io"
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// meteredBody is cut off where it is larger than a request's body may be, or than what
// may still go out.
type meteredBody struct {
	io.ReadCloser
	x           *exchange
	account     account
	left, limit int64
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.touch()
	if b.left -= int64(n); b.left < 0 {
		return 0, b.x.cutOff(requestTooLarge(b.limit))
	}
	if cut := b.x.draw(b.account, n); cut != nil {
		return 0, cut
	}
	return n, err
}

// requestBody counts what leaves, and takes the trailers along.
type requestBody struct {
	io.ReadCloser
	x       *exchange
	in, out http.Header // trailers
	account account     // which they draw on, as the body has
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.sent.Add(int64(n))
	switch {
	case err == io.EOF:
		// A trailer that was announced, and not taken out since, goes along. The server
		// fills them in when the body has ended.
		size := 0
		for name := range b.out {
			for _, value := range b.in[name] {
				size += len(value)
			}
		}
		if cut := b.x.draw(b.account, size); cut != nil {
			return n, cut
		}
		for name := range b.out {
			b.out[name] = b.in[name]
		}
	case err != nil:
		b.x.fault.Store(true)
	}
	return n, err
}

// responseBody notes when it is the upstream that breaks off.
type responseBody struct {
	io.ReadCloser
	t   *trip
	ctx context.Context
	// sized: how long it is, is known, so that its end is one.
	sized bool
	res   *http.Response
}

// Close leaves in the trailer, which is whole now, what may stand in one: a length that
// comes late is how two readings of one answer begin, and only av speaks for av.
func (b *responseBody) Close() error {
	err := b.ReadCloser.Close()
	stripProxy(b.res.Trailer)
	delete(b.res.Trailer, errorHeader)
	for name := range b.res.Trailer {
		if !httpguts.ValidTrailerHeader(name) {
			delete(b.res.Trailer, name)
		}
	}
	return err
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case b.ctx.Err() != nil, b.t.ended(b.ctx) != "":
		// An upstream that sees us go may end its answer well, and that may be read before
		// the connection is gone. The client must not take a part for the whole.
		if err == io.EOF && !b.sized {
			err = io.ErrUnexpectedEOF
		}
	case err != io.EOF:
		b.t.x.entry.Reason = reasonUpstreamGone
	}
	return n, err
}
