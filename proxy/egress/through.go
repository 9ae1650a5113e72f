package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// dialThrough connects to host through the proxy, and judges what it can.
//
//   - An address is judged as ever, and the proxy is asked for that address.
//   - A name that this machine can resolve is judged by all of its answers. A private one
//     refuses it; one in an allowed range makes it a host of this side, dialled directly.
//   - A name that this machine cannot resolve is judged by its spelling alone.
//
// A socks5 proxy is asked for an address that was judged. The others are asked for the
// name, because they filter by it and know names that we do not: what it leads to on
// their side is theirs to judge, and a name that changes its answer can lead anywhere
// that they let it.
func (g *Guard) dialThrough(ctx context.Context, host string, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	addrs, unresolved := g.resolveHere(ctx, host)
	inside, err := g.judge(host, addrs)
	if err != nil {
		return nil, err
	}
	if inside {
		return g.dialFirst(ctx, targets(addrs, port))
	}
	if _, err := netip.ParseAddr(host); err != nil && g.proxy.scheme != "socks5" {
		if reason := judgeName(host); reason != "" {
			return nil, &Refused{Host: host, Reason: reason}
		}
		return g.ask(ctx, net.JoinHostPort(host, strconv.Itoa(int(port))))
	}
	if unresolved != nil {
		return nil, unresolved
	}
	var conn net.Conn
	for _, target := range targets(addrs, port) {
		conn, err = g.ask(ctx, target.String())
		// Another address helps only if it was this one that failed. A password that is
		// wrong stays wrong, and some proxies count.
		if failed, ok := errors.AsType[*ProxyError](err); !ok || !failed.far {
			break
		}
	}
	return conn, err
}

// resolveHere does not wait long where the proxy knows the name at least as well.
func (g *Guard) resolveHere(ctx context.Context, host string) ([]netip.Addr, error) {
	if g.proxy.scheme != "socks5" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, localTimeout)
		defer cancel()
	}
	return g.resolve(ctx, host, complete(host))
}

// ask has the proxy connect to target.
func (g *Guard) ask(ctx context.Context, target string) (_ net.Conn, err error) {
	p := g.proxy
	bare, err := g.reach(ctx)
	if err != nil {
		return nil, p.failed(target, err)
	}
	conn := bare
	stop := context.AfterFunc(ctx, func() { _ = bare.SetDeadline(time.Unix(1, 0)) })
	if p.scheme == "https" {
		conn, err = p.secure(ctx, conn)
	}
	switch {
	case err != nil:
	case p.scheme == "http" || p.scheme == "https":
		err = p.connect(conn, target)
	default:
		err = p.socks(ctx, conn, target)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx) // there is a deadline on the connection by now
	}
	if err != nil {
		_ = conn.Close()
		return nil, p.failed(target, err)
	}
	return conn, nil
}

// reach connects to the proxy itself. Its name may be one of the local network, so it
// is looked up as any program would.
func (g *Guard) reach(ctx context.Context) (net.Conn, error) {
	addrs, err := g.resolve(ctx, g.proxy.host, g.proxy.host)
	if err != nil {
		return nil, err
	}
	ways := targets(addrs, g.proxy.port)
	for _, way := range ways {
		if reason := judgeGrant(way); reason != "" {
			return nil, &said{reason: "its name leads to a " + reason}
		}
	}
	return g.dialFirst(ctx, ways)
}

// secure returns the connection in any case, so that it can be closed.
func (p *Proxy) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	secured := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: p.host, RootCAs: p.roots})
	err := secured.HandshakeContext(ctx)
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return conn, &said{reason: "it does not speak TLS", hint: "if it is meant to, begin the URL with http://"}
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return conn, &said{reason: "its certificate is for another host", hint: "name the proxy as its certificate does"}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return conn, &said{reason: "its certificate is not to be trusted", hint: "if its CA is meant, name its file in AV_UPSTREAM_CA"}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return conn, &said{reason: "it breaks the TLS handshake off"}
	}
	if err != nil {
		return conn, err
	}
	return secured, nil
}
