package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/vault/policy"
)

var (
	errBodyTooLarge = errors.New("the body is too large to be searched")
	errBodyBroken   = errors.New("the body did not come to its end")
	errBodyTooSlow  = errors.New("the body did not come in time")
)

// substituteBody reads a body that may hold placeholders to its end. What is larger
// than can be searched is refused: half of it searched would be a placeholder, or a
// half of one, that arrives.
func (l *lease) substituteBody(x *exchange, r *http.Request, service *policy.Service, marks []inject.Mark) error {
	if len(marks) == 0 || r.ContentLength == 0 {
		return nil
	}
	form, searched := inject.Body(r.Header)
	switch {
	case !searched:
		return nil
	case r.ContentLength > maxSearchedBody:
		return errBodyTooLarge
	}
	// A session's bodies wait for each other before they fill the memory of all.
	select {
	case l.holding <- struct{}{}:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	release := sync.OnceFunc(func() { <-l.holding })
	text, err := l.wholeBody(x, r)
	if err == nil {
		err = watch(service, policy.InBody).Text(text, form)
	}
	if err == nil {
		text, err = inject.Swap(text, marks, form.Encode)
	}
	if err != nil {
		release()
		return err
	}
	r.Body = &heldBody{strings.NewReader(text), release}
	if r.ContentLength > 0 {
		r.ContentLength = int64(len(text))
		r.Header.Del("Content-Length") // it is written from the field
	}
	r.Header.Del("Expect") // the client was told to continue
	return nil
}

// wholeBody reads a body as long as it may be held up. The connection has a deadline of
// its own again afterwards: the server sets it, or closes it with our refusal.
func (l *lease) wholeBody(x *exchange, r *http.Request) (string, error) {
	deadline := http.NewResponseController(x)
	if err := deadline.SetReadDeadline(time.Now().Add(l.holdFor)); err != nil {
		return "", err
	}
	var text strings.Builder
	text.Grow(int(max(r.ContentLength, 0)))
	n, err := io.Copy(&text, io.LimitReader(r.Body, maxSearchedBody+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", errBodyTooSlow
	case err != nil:
		return "", errBodyBroken
	case n > maxSearchedBody:
		return "", errBodyTooLarge
	}
	return text.String(), deadline.SetReadDeadline(time.Time{})
}

// heldBody is a body in memory, until the transport is done with it.
type heldBody struct {
	io.Reader
	release func()
}

func (b *heldBody) Close() error {
	b.release()
	return nil
}
