package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/av-project/av/proxy/match"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// reasonOther is why a tunnel is closed that is neither.
const reasonOther = "neither TLS nor HTTP"

// tunnel is an accepted CONNECT: a connection that the client takes for the upstream.
type tunnel struct {
	*serving
	session *vault.Session
	lease   *lease
	ctx     context.Context // ends with the grant
	grant   *grant
	target  policy.Target
	x       *exchange // the CONNECT
	conn    net.Conn
	secure  bool // TLS with our leaf, not plain HTTP
	link    *link
	// rawHelps: what is neither TLS nor HTTP could be carried unread.
	rawHelps bool

	requests atomic.Int64 // that have a record of their own
	handlers room
}

// hijack takes the connection out of the server, with what the client sent early.
func hijack(x *exchange) (net.Conn, []byte, error) {
	conn, rw, err := http.NewResponseController(x).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.entry.Status = http.StatusOK
	head := make([]byte, rw.Reader.Buffered())
	_, _ = io.ReadFull(rw.Reader, head) // they are there
	return conn.(*wire).Conn, head, nil
}

// open brings a tunnel as far as HTTP and hands it to the inner server. It does not wait
// for the end: a handler that waits costs an idle tunnel all that it was called with.
func (t *tunnel) open(head []byte) {
	// An open tunnel must not outlive the grant it was opened under.
	stop := closeWhenDone(t.ctx, t.conn)
	inner, reason, ours := t.speak(head)
	if inner == nil {
		stop()
		t.end(reason, ours)
		return
	}
	t.link.finish = func() {
		// Not here, where a handler may be that is waited for.
		t.wg.Go(func() {
			t.handlers.shut()
			stop()
			t.end("", false)
		})
	}
	if !t.innerQueue.push(inner) {
		t.link.finish()
	}
}

// end closes the tunnel and writes its record. A reason says why it carried nothing; ours
// tells whether that was our refusal.
func (t *tunnel) end(reason string, ours bool) {
	defer t.x.link.finish()
	defer t.grant.release()
	_ = t.conn.Close()
	if t.requests.Load() > 0 && reason == "" {
		return // its requests have their own records
	}
	switch {
	case errors.Is(context.Cause(t.ctx), errRegranted):
		reason = reasonRegranted
	case reason == "":
		reason = "the tunnel was closed before a request could be read"
	case reason == reasonOther && t.rawHelps:
		reason += ": --allow " + policy.RawFlag(t.target) + " carries it"
	}
	t.x.entry.Reason = reason
	if ours {
		t.x.entry.Allowed = false
	}
	t.x.record()
}

// speak finds out what the client speaks, and makes a connection of it that the inner
// server can read. Without one, a reason says why.
func (t *tunnel) speak(head []byte) (inner net.Conn, reason string, ours bool) {
	_ = t.conn.SetDeadline(time.Now().Add(t.openFor))
	if _, err := io.WriteString(t.conn, "HTTP/1.1 200 Connection Established\r\n\r\n"); err != nil {
		return nil, "the client went away", false
	}
	speech, seen, err := listen(t.conn, head)
	if err != nil {
		return nil, closedWhile("waiting for the first byte", err), false
	}
	raw := &seenConn{Conn: t.conn, head: seen, tunnel: t}
	t.link = &link{serving: t.serving, tunnel: t}
	switch {
	case speech == speaksTLS:
		t.secure = true
		inner, err = t.handshake(raw)
		if sni, ok := errors.AsType[*sniError](err); ok {
			return nil, sni.Error(), true
		}
		if err != nil {
			return nil, closedWhile("in the TLS handshake", err), false
		}
	case speech == speaksHTTP && t.target.Port != match.HTTPSPort:
		inner = t.framed(raw)
	case speech == speaksHTTP:
		return nil, "plain HTTP to the port of HTTPS", true
	default:
		return nil, reasonOther, true
	}
	_ = t.conn.SetDeadline(time.Time{})
	return inner, "", false
}

// listen reads until it knows what the client speaks.
func listen(conn net.Conn, head []byte) (speech, []byte, error) {
	for {
		if s := sniff(head); s != undecided {
			return s, head, nil
		}
		more := make([]byte, maxSniff)
		n, err := conn.Read(more)
		head = append(head, more[:n]...)
		if n == 0 && err != nil {
			return undecided, head, err
		}
	}
}

// handshake shows the client our leaf. A client that speaks HTTP/1 is framed.
func (t *tunnel) handshake(raw *seenConn) (net.Conn, error) {
	secure := tls.Server(raw, t.innerTLS)
	if err := secure.HandshakeContext(t.ctx); err != nil {
		return nil, err
	}
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		return secure, nil
	}
	return t.framed(secure), nil
}

func (t *tunnel) framed(conn net.Conn) net.Conn {
	t.link.wire = &wire{Conn: conn, link: t.link}
	return t.link.wire
}

// sniError is a ClientHello for another host than its tunnel's.
type sniError struct{ name string }

func (e *sniError) Error() string {
	return fmt.Sprintf("the TLS server name %q is not the tunnel's host", e.name[:min(len(e.name), maxRecordedName)])
}

// agreeSNI comes before the leaf: a tunnel that was allowed for one name is not given
// a certificate for it to talk to another.
func agreeSNI(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if !match.AgreesSNI(hello.Conn.(*seenConn).tunnel.target, hello.ServerName) {
		return nil, &sniError{hello.ServerName}
	}
	return nil, nil
}

// alertBadRecordMAC is what crypto/tls makes of an alert in the clear where it expects a sealed
// record. OpenSSL sends one when it does not trust a certificate in TLS 1.3.
const alertBadRecordMAC = 20

// closedWhile says how a tunnel ended early. The texts of crypto/tls hold nothing of
// what was sent.
func closedWhile(doing string, err error) string {
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case isOp && op.Op == "remote error":
		return fmt.Sprintf("the client broke the TLS handshake off (%v): it may not trust av's certificate, or pin another", op.Err)
	case isOp && op.Op == "local error" && op.Err.Error() == tls.AlertError(alertBadRecordMAC).Error():
		return "the client broke the TLS handshake off: it may not trust av's certificate, or pin another"
	case isOp && op.Op == "local error":
		return fmt.Sprintf("failed %s: %v", doing, op.Err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timed out " + doing
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.Canceled), isOp:
		return "closed " + doing
	}
	return fmt.Sprintf("failed %s: %v", doing, err)
}
