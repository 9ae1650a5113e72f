package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// ProxyError says that the proxy did not connect us, and why. It holds no password, and
// no words of the proxy's.
type ProxyError struct {
	Proxy  string // without user and password
	Target string
	Reason string
	hint   string
	far    bool // the proxy is well, but not what is behind it
	cause  error
}

func (e *ProxyError) Error() string {
	return fmt.Sprintf("the upstream proxy %s does not connect to %s: %s", e.Proxy, e.Target, e.Reason)
}

// Hint is the next step, if there is one.
func (e *ProxyError) Hint() string { return e.hint }

func (e *ProxyError) Unwrap() error { return e.cause }

// said is a reason in our own words.
type said struct {
	reason, hint string
	far          bool
}

func (s *said) Error() string { return s.reason }

// failed finds the words for what went wrong.
func (p *Proxy) failed(target string, err error) error {
	e := &ProxyError{Proxy: p.String(), Target: target, cause: err, hint: "look at AV_UPSTREAM_PROXY, and whether the proxy runs"}
	known, isKnown := errors.AsType[*said](err)
	_, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isKnown:
		e.Reason, e.hint, e.far = known.reason, known.hint, known.far
	case isDNS, errors.Is(err, errNoAddress):
		e.Reason = "its name cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Reason = "it refuses connections"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		e.Reason = "it does not answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Reason = "it closes the connection"
	default:
		e.Reason = "it cannot be reached"
	}
	return e
}
