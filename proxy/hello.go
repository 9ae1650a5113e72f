package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/av-project/av/proxy/match"
	"github.com/av-project/av/vault/policy"
)

// hello is what a ClientHello says about its host.
type hello struct {
	name      string
	encrypted bool // it has a second name in it that only the upstream can read
}

// helloError is why a ClientHello leads nowhere.
type helloError struct{ reason string }

func (e *helloError) Error() string { return e.reason }

// echExtension is encrypted_client_hello (RFC 9849).
const echExtension = 0xfe0d

var errPeeked = errors.New("that was all")

// peekHello reads a ClientHello from conn, and gives all that it read, to be sent on as
// it came. The reader is crypto/tls, which is stricter than any of ours would be: a name
// that stands there twice, and that two servers could read differently, is none.
func peekHello(conn net.Conn) (h hello, seen []byte, err error) {
	p := &peeker{Conn: conn}
	config := &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		h = hello{info.ServerName, slices.Contains(info.Extensions, echExtension)}
		return nil, errPeeked
	}}
	err = tls.Server(p, config).Handshake()
	switch {
	case errors.Is(err, errPeeked):
		return h, p.seen, nil
	case p.failed != nil:
		return hello{}, nil, p.failed
	}
	return hello{}, nil, &helloError{"no TLS ClientHello"}
}

// peeker keeps what is read from a connection, and lets nothing be written to it.
type peeker struct {
	net.Conn
	seen   []byte
	failed error
}

func (p *peeker) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.seen = append(p.seen, b[:n]...)
	if err != nil {
		p.failed = err
	}
	return n, err
}

func (p *peeker) Write(b []byte) (int, error) { return len(b), nil }

// agreeHello tells whether a ClientHello is for target. Unlike in a tunnel that is opened,
// no name is no answer: the host that the upstream takes is then its own choice.
func agreeHello(target policy.Target, h hello) error {
	switch {
	case h.name == "":
		return &helloError{"the ClientHello names no server"}
	case !match.AgreesSNI(target, h.name):
		return &helloError{(&sniError{h.name}).Error()}
	case h.encrypted:
		return &helloError{fmt.Sprintf("the ClientHello has a part that is encrypted (ECH), and that could be for another host than %s", target.Host)}
	}
	return nil
}
