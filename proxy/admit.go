package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/av-project/av/vault"
)

// admit brings a new connection as far as HTTP and hands it to the outer server.
func (s *serving) admit(raw net.Conn) {
	stop := closeWhenDone(s.ctx, raw)
	known := s.strangers.add(raw)
	conn, cert, refused := s.greet(raw)
	if conn == nil {
		known()
		stop()
		_ = raw.Close()
		if refused != "" {
			s.recorder.Record(vault.Entry{Time: s.now(), Reason: refused})
		}
		return
	}
	s.wg.Add(1)
	l := &link{serving: s, cert: cert, known: known}
	l.finish = func() {
		l.leave()
		s.wg.Done()
	}
	l.wire = &wire{Conn: conn, link: l}
	if !s.outerQueue.push(l.wire) {
		_ = conn.Close()
		l.finish()
	}
	// From here the server closes it.
	stop()
}

// greet tells TLS from plain by the first byte. Without a connection it returns why
// that is worth a record, or "" where it is not.
func (s *serving) greet(raw net.Conn) (conn net.Conn, cert []byte, refused string) {
	_ = raw.SetDeadline(time.Now().Add(s.openFor))
	defer raw.SetDeadline(time.Time{})
	first := make([]byte, 1)
	if _, err := raw.Read(first); err != nil {
		return nil, nil, ""
	}
	seen := &seenConn{Conn: raw, head: first}
	if first[0] == tlsHandshake {
		secure := tls.Server(seen, s.outerTLS)
		if err := secure.HandshakeContext(s.ctx); err != nil {
			s.log.Debug("handshake failed", "remote", raw.RemoteAddr(), "err", err)
			return nil, nil, ""
		}
		if peers := secure.ConnectionState().PeerCertificates; len(peers) > 0 {
			cert = peers[0].Raw
		}
		return secure, cert, ""
	}
	// A token in clear text may pass where nobody but this machine listens.
	if !isLoopback(raw.RemoteAddr()) {
		return nil, nil, "plain connection from another machine"
	}
	return seen, nil, ""
}

func isLoopback(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// tlsConfigs are for the two sides that we are a TLS server on. They are made once, so
// that session tickets work from one connection to the next.
func (s *serving) tlsConfigs() (outer, inner *tls.Config) {
	outer = &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		// The certificate signs for itself: it proves the possession of a key, and the
		// vault knows whose key it is.
		ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.authority.Leaf(ServerName)
		},
	}
	inner = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		GetConfigForClient: agreeSNI,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.authority.Leaf(hello.Conn.(*seenConn).tunnel.target.Host)
		},
	}
	return outer, inner
}
