package gate

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// relayTimeout bounds the dial and the TLS handshake with the proxy. It lies one
	// hop away on the same machine.
	relayTimeout = 10 * time.Second
	// connectTimeout bounds the proxy's answer to a CONNECT, which may have to wait
	// for a slow name server and a far host.
	connectTimeout = 60 * time.Second
	// copyBuffer is what each direction of a connection holds, in bytes.
	copyBuffer = 16 << 10
)

// relay opens connections to the proxy as this run.
type relay struct {
	network, address string // of the proxy, as net.Dial takes them
	config           *tls.Config
	patience         time.Duration // for one dial, relayTimeout
	// stream opens a connection over the link, where that is how the proxy is reached.
	stream func() (net.Conn, error)
}

func newRelay(c Config) (*relay, error) {
	identity, err := tls.X509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("read the run's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CA) {
		return nil, errors.New("read the proxy's CA: no certificate in it")
	}
	network, address := "tcp4", c.Relay.String()
	if c.Socket != "" {
		network, address = "unix", c.Socket
	}
	return &relay{network: network, address: address, patience: relayTimeout, config: &tls.Config{
		MinVersion:         tls.VersionTLS13,
		RootCAs:            roots,
		ServerName:         ProxyName,
		Certificates:       []tls.Certificate{identity},
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	}}, nil
}

// dial opens one connection to the proxy, in which it knows whose it is.
func (r *relay) dial(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	conn, err := r.raw(ctx)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(conn, r.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("handshake with the proxy: %w", err)
	}
	return secure, nil
}

func (r *relay) raw(ctx context.Context) (net.Conn, error) {
	if r.stream != nil {
		return r.stream()
	}
	return new(net.Dialer).DialContext(ctx, r.network, r.address)
}

// carry takes a connection that the agent opened to the proxy port, and lets the
// proxy speak with the agent itself.
func (r *relay) carry(ctx context.Context, agent *net.TCPConn) {
	r.join(ctx, agent, func(proxy *tls.Conn) { splice(ctx, agent, agent, proxy) })
}

// carryTo takes a connection that the agent opened to somewhere else, and asks the
// proxy for that place. What the proxy refuses is reset, so that the agent's tool
// fails at once.
func (r *relay) carryTo(ctx context.Context, agent *net.TCPConn, target string) {
	r.join(ctx, agent, func(proxy *tls.Conn) {
		answer, reader, err := connect(proxy, target)
		switch {
		case err != nil:
			reset(agent)
		case answer.StatusCode != http.StatusOK:
			explain(agent, answer)
		default:
			splice(ctx, agent, agent, &buffered{proxy, reader})
		}
	})
}

// join opens a connection to the proxy for one of the agent's, and closes both when
// use is done with them.
func (r *relay) join(ctx context.Context, agent *net.TCPConn, use func(*tls.Conn)) {
	defer agent.Close()
	proxy, err := r.dial(ctx)
	if err != nil {
		reset(agent)
		return
	}
	defer proxy.Close()
	use(proxy)
}

// connect asks the proxy for a tunnel to target. What follows the head of the
// answer is in the reader.
func connect(proxy *tls.Conn, target string) (*http.Response, *bufio.Reader, error) {
	if err := proxy.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return nil, nil, err
	}
	if _, err := fmt.Fprintf(proxy, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		return nil, nil, err
	}
	reader := bufio.NewReaderSize(proxy, 4096)
	answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, nil, err
	}
	return answer, reader, proxy.SetDeadline(time.Time{})
}

// explain passes the proxy's refusal on to a client that speaks plain HTTP, and
// resets any other: there is no way to tell a TLS client why.
func explain(agent *net.TCPConn, refusal *http.Response) {
	first := make([]byte, 1)
	_ = agent.SetDeadline(time.Now().Add(time.Second))
	if n, _ := agent.Read(first); n != 1 || first[0] < 'A' || first[0] > 'Z' {
		reset(agent)
		return
	}
	refusal.Close = true
	_ = refusal.Write(agent)
	// The rest of the request is read, lest closing resets the answer away.
	_ = agent.CloseWrite()
	_, _ = io.Copy(io.Discard, io.LimitReader(agent, copyBuffer))
}

// reset closes a connection with RST: the client sees a refusal, not an end.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	conn.Close()
}

// buffered is a connection of which some bytes have been read ahead.
type buffered struct {
	*tls.Conn
	ahead *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.ahead.Read(p) }

var buffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

// halfCloser is a connection of which each direction can end by itself.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// splice copies both ways until both have ended, or one has failed, or ctx ends. A
// direction that ends is ended on the other side too, while the other goes on.
func splice(ctx context.Context, agent *net.TCPConn, from io.Reader, proxy halfCloser) {
	stop := context.AfterFunc(ctx, func() { agent.Close(); proxy.Close() })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pump(agent, proxy, agent, proxy)
	}()
	pump(proxy, from, agent, proxy)
	<-done
}

func pump(to halfCloser, from io.Reader, ends ...net.Conn) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	// The writer is hidden so that no ReadFrom takes a buffer of its own.
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *buffer)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		for _, c := range ends {
			c.Close()
		}
	}
}
