package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"golang.org/x/net/proxy"
)

// socks asks for a connection to target: by its name if it has one, by its address if
// not.
func (p *Proxy) socks(ctx context.Context, conn net.Conn, target string) error {
	var auth *proxy.Auth
	if user, password, known := p.login(); known {
		auth = &proxy.Auth{User: user, Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", p.address(), auth, nil)
	if err != nil {
		return err
	}
	_, err = dialer.(interface {
		DialWithConn(context.Context, net.Conn, string, string) (net.Addr, error)
	}).DialWithConn(ctx, conn, "tcp", target)
	op, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return err
	}
	return socksReason(op.Err)
}

// socksReason finds words for an error of the library, which has no types for them. Its
// texts are its own: of what the proxy sent, they hold numbers at most.
func socksReason(err error) error {
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	const fix = "give user and password in AV_UPSTREAM_PROXY: socks5://USER:PASSWORD@HOST:PORT, percent-encoded"
	text := err.Error()
	switch {
	case text == "username/password authentication failed":
		return &said{reason: "it does not accept the user and password", hint: fix}
	case text == "no acceptable authentication methods":
		return &said{reason: "it wants another proof of who we are", hint: fix}
	case strings.HasPrefix(text, "unexpected protocol version"):
		return &said{reason: "it does not speak SOCKS 5", hint: "if it speaks HTTP, begin the URL with http://"}
	}
	return &said{reason: "it says: " + strings.TrimPrefix(text, "unknown error "), far: strings.HasPrefix(text, "unknown error ")}
}
