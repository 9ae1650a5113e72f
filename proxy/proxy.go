// Package proxy carries the requests of a session to their upstreams.
// It judges each one, puts the credential in on the way, and leaves exactly one
// record of it, whatever happens.
//
// One kind of request leaves none: what net/http's HTTP/2 server refuses by itself,
// with no handler and no hook (a head that is too large, a field that holds a line
// break). Nothing of it is carried, and a tunnel in which nothing else came is recorded
// as one in which no request could be read.
package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"log"
	"log/slog"
	"time"

	"github.com/av-project/av/proxy/ca"
	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault"
)

// ServerName is the name on the certificate that the proxy shows to its own clients.
// It is in no DNS; who connects verifies it against the vault's authority.
const ServerName = "proxy.av.internal"

// Sessions finds out whose connection it is.
type Sessions interface {
	SessionByToken(ctx context.Context, token string) (*vault.Session, error)
	SessionByCertificate(ctx context.Context, der []byte) (*vault.Session, error)
}

// Recorder takes the record of each request. It must not wait for a disk.
type Recorder interface {
	Record(vault.Entry)
}

// Config is what a Proxy needs. Logger, Now and RootCAs may be left out. What is handed
// in must not be changed afterwards.
type Config struct {
	Authority *ca.Authority
	Sessions  Sessions
	Recorder  Recorder
	Guard     *egress.Guard
	// Logger is told what no record has room for; nil discards it.
	Logger *slog.Logger
	Now    func() time.Time
	// RootCAs vouch for upstreams; nil means the system's.
	RootCAs *x509.CertPool
}

// Proxy serves any number of listeners.
type Proxy struct {
	authority *ca.Authority
	sessions  Sessions
	recorder  Recorder
	guard     *egress.Guard
	log       *slog.Logger
	errorLog  *log.Logger // log, for the packages of the standard library
	now       func() time.Time
	roots     *x509.CertPool // nil: the system's, read when the first upstream is dialled
	buffers   buffers
	trickles  buffers // for streams of events
	meters    *meters
	// holdTimeout, openTimeout and headTimeout, but in tests.
	holdFor, openFor, headFor time.Duration
}

// New checks the configuration.
func New(c Config) (*Proxy, error) {
	switch {
	case c.Authority == nil:
		return nil, errors.New("a proxy needs an authority")
	case c.Sessions == nil:
		return nil, errors.New("a proxy needs sessions")
	case c.Recorder == nil:
		// Nothing is carried that is not recorded.
		return nil, errors.New("a proxy needs a recorder")
	case c.Guard == nil:
		return nil, errors.New("a proxy needs an egress guard")
	}
	p := &Proxy{
		buffers: buffers{size: copyBuffer}, trickles: buffers{size: eventBuffer},
		authority: c.Authority, sessions: c.Sessions, recorder: c.Recorder, guard: c.Guard,
		log: c.Logger, now: c.Now, roots: c.RootCAs, meters: newMeters(),
		holdFor: holdTimeout, openFor: openTimeout, headFor: headTimeout,
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.errorLog = slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)
	if p.now == nil {
		p.now = time.Now
	}
	return p, nil
}
