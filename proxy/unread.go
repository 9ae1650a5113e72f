package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/av-project/av/vault/policy"
)

// What their records have as the protocol of tunnels that nobody reads.
const (
	protoTCP = "tcp"
	protoTLS = "tls"
)

// unread tells whether a tunnel carries what nobody reads.
func unread(v policy.Verdict) bool { return v.Raw || v.Service != nil && v.Service.Opaque() }

// unreadTunnel goes to a target with a grant of its own (tcp://, a host service), which carries any bytes,
// or to a service with tls: passthrough, which carries TLS to the host that was granted.
// It gets no credential.
type unreadTunnel struct {
	*serving
	x       *exchange
	lease   *lease
	target  policy.Target
	verdict policy.Verdict
	account account // of what the client sends
}

func (s *serving) connectUnread(x *exchange, to route, set *policy.Set, verdict policy.Verdict) {
	meter := to.lease.meter
	u := &unreadTunnel{
		serving: s, x: x, lease: to.lease, target: to.target, verdict: verdict,
		account: meter.budgets.account(to.target.Host, verdict.Service),
	}
	ctx, grant := u.lease.under(s.ctx, set, func(now *policy.Set) bool {
		v := now.Reach(to.target)
		return unread(v) && sameGrant(verdict, v)
	})
	defer grant.release()
	ctx, rest := x.watch(ctx, meter.limits.Idle, math.MaxInt64)
	defer rest()
	if verdict.Raw {
		x.entry.Proto = protoTCP
		u.runRaw(ctx)
	} else {
		x.entry.Proto = protoTLS
		u.runTLS(ctx)
	}
	switch {
	case errors.Is(context.Cause(ctx), errRegranted):
		x.entry.Reason = reasonRegranted
	case u.lease.ctx.Err() != nil:
		x.entry.Reason = reasonEnded
	}
}

// runRaw dials before it answers, so that a client is told what went wrong. It waits for
// no byte of either side: in many protocols the server speaks first.
func (u *unreadTunnel) runRaw(ctx context.Context) {
	upstream, f := u.dial(ctx)
	if f != nil {
		if f.code == codeEgressRefused && f.hint != "" {
			// A service could grant the address as well, but is for HTTP and TLS.
			f.hint = "if that address is meant, name its range in AV_EGRESS_ALLOW"
		}
		u.x.refuse(*f)
		return
	}
	defer upstream.Close()
	client, head := u.accept(ctx)
	if client == nil {
		return
	}
	defer client.Close()
	defer closeWhenDone(ctx, client)()
	u.splice(&seenConn{Conn: client, head: head}, upstream)
}

// runTLS answers first: only then does the client say whom it wants to speak with.
// Nothing is dialled for who says another host.
func (u *unreadTunnel) runTLS(ctx context.Context) {
	client, head := u.accept(ctx)
	if client == nil {
		return
	}
	defer client.Close()
	defer closeWhenDone(ctx, client)()
	_ = client.SetDeadline(time.Now().Add(openTimeout))
	name, seen, err := peekHello(&seenConn{Conn: client, head: head})
	if err == nil {
		err = agreeHello(u.target, name)
	}
	if bad, ok := errors.AsType[*helloError](err); ok {
		u.x.entry.Allowed, u.x.entry.Reason = false, bad.reason
		return
	}
	if err != nil {
		u.x.entry.Reason = closedWhile("waiting for a ClientHello", err)
		return
	}
	upstream, f := u.dial(ctx)
	if f != nil {
		u.x.entry.Reason = f.message
		if f.ours {
			u.x.entry.Allowed = false
		}
		return
	}
	defer upstream.Close()
	_ = client.SetDeadline(time.Time{})
	u.splice(&seenConn{Conn: client, head: seen}, upstream)
}

// dial says in a refusal why there is no connection.
func (u *unreadTunnel) dial(ctx context.Context) (net.Conn, *refusal) {
	conn, err := u.lease.dial(ctx, ctx, u.target, u.verdict.Dial())
	if err != nil {
		return nil, new(explain(err, u.target))
	}
	u.x.entry.Upstream = conn.RemoteAddr().String()
	return conn, nil
}

// accept tells the client that its tunnel is open, and gives what it has sent already.
// Without a connection there is nobody left to tell.
func (u *unreadTunnel) accept(ctx context.Context) (net.Conn, []byte) {
	conn, head, err := hijack(u.x)
	if err != nil {
		u.log.Error("cannot hijack", "err", err)
		u.x.abandon("the connection cannot become a tunnel")
	}
	defer closeWhenDone(ctx, conn)()
	u.x.carried = true
	_ = conn.SetDeadline(time.Now().Add(openTimeout))
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection Established\r\n\r\n"); err != nil {
		_ = conn.Close()
		u.x.entry.Reason = reasonGone
		return nil, nil
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, head
}

// splice carries both ways until both have ended or one has failed. A direction that
// ends is ended on the other side too, while the other goes on. One that fails after
// that is not worth a word: many protocols end so.
func (u *unreadTunnel) splice(client, upstream net.Conn) {
	ends := make(chan net.Conn, 2)
	go func() { ends <- u.pump(client, upstream, &u.x.sent, u.account) }()
	go func() { ends <- u.pump(upstream, client, &u.x.received, nil) }()
	switch <-ends {
	case nil:
		<-ends
		return
	case client:
		u.x.entry.Reason = reasonGone
	default:
		u.x.entry.Reason = reasonUpstreamGone
	}
	_, _ = client.Close(), upstream.Close() // so that the other direction ends too
	<-ends
}

// pump copies until from has ended, and returns the one that broke before.
func (u *unreadTunnel) pump(from, to net.Conn, count *atomic.Int64, account account) (broken net.Conn) {
	buffer := u.buffers.Get()
	defer u.buffers.Put(buffer)
	for {
		n, err := from.Read(buffer)
		u.x.touch()
		if n > 0 {
			if u.x.draw(account, n) != nil {
				return to
			}
			if _, failed := to.Write(buffer[:n]); failed != nil {
				return to
			}
			count.Add(int64(n))
		}
		switch {
		case err == io.EOF:
			if closeWrite(to) != nil {
				return to
			}
			return nil
		case err != nil:
			return from
		}
	}
}

// onlyTunnels refuses a request for a service whose connections nobody reads.
func onlyTunnels(service string) refusal {
	return refusal{
		status: http.StatusForbidden, code: "unread_service", ours: true,
		message: fmt.Sprintf("service %s has tls: passthrough: it is reached through CONNECT with TLS inside", service),
	}
}
