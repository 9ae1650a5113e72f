package proxy

import (
	"context"
	"io"
	"net/http"
)

// requestBody counts what leaves, and takes the trailers along.
type requestBody struct {
	io.ReadCloser
	x       *exchange
	in, out http.Header // trailers
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.sent.Add(int64(n))
	switch {
	case err == io.EOF:
		// A trailer that was announced, and not taken out since, goes along. The server
		// fills them in when the body has ended.
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
	x   *exchange
	ctx context.Context
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.ctx.Err() == nil {
		b.x.entry.Reason = "broken off by the upstream"
	}
	return n, err
}
