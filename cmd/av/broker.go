package main

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/proxy"
	"github.com/av-project/av/proxy/ca"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
)

// broker joins the side that holds secrets to the side that runs boxes: the vault
// and a proxy of this process's own. It is the only place that knows both.
type broker struct {
	open   func(context.Context) (*vault.Vault, error)
	grant  vault.Grant // of the run's session
	way    wayOut
	logger *slog.Logger

	vault *vault.Vault
	proxy *proxy.Proxy
	ca    []byte
	run   string
}

// ready makes the proxy, for which it unlocks the vault.
func (b *broker) ready(ctx context.Context) (err error) {
	certificate, key, err := b.vault.Authority(ctx, vault.Owner())
	if err != nil {
		return err
	}
	authority, err := ca.New(certificate, key.Open(), time.Now)
	if err != nil {
		return err
	}
	b.ca = certificate
	b.proxy, err = proxy.New(proxy.Config{
		Authority: authority, Sessions: own{b}, Recorder: b.vault,
		Guard: b.way.guard, RootCAs: b.way.roots, Logger: b.logger, Now: time.Now,
	})
	return err
}

// close closes the vault; an error says that a record may be missing.
func (b *broker) close() error {
	if b.vault == nil {
		return nil
	}
	return b.vault.Close()
}

// own lets through the one session that this process has opened. A vault holds those
// of other runs too, and a run's proxy serves no other run, alive or dead.
type own struct{ broker *broker }

func (o own) check(s *vault.Session, err error) (*vault.Session, error) {
	if err == nil && s.Run() != o.broker.run {
		return nil, vault.ErrNoSession
	}
	return s, err
}

func (o own) SessionByToken(ctx context.Context, token string) (*vault.Session, error) {
	return o.check(o.broker.vault.SessionByToken(ctx, token))
}

func (o own) SessionByCertificate(ctx context.Context, der []byte) (*vault.Session, error) {
	return o.check(o.broker.vault.SessionByCertificate(ctx, der))
}

// CA is the certificate that the command has to trust.
func (b *broker) CA() []byte { return b.ca }

// Open makes the run's session.
func (b *broker) Open(ctx context.Context, run string) (runner.Session, error) {
	grant := b.grant
	grant.Run = run
	opened, err := b.vault.OpenSession(ctx, vault.Owner(), grant)
	if err != nil {
		return nil, err
	}
	b.run = run
	return &session{broker: b, opened: opened, expires: opened.Expires}, nil
}

// session is one run's session in the vault.
type session struct {
	broker  *broker
	opened  vault.Opened
	expires time.Time
}

const (
	// renewAhead is how long before its end a session is renewed: half its life.
	renewAhead = 12 * time.Hour
	// renewLook is how often it is looked whether that is due. A machine may have slept.
	renewLook = time.Minute
)

// renew keeps the session alive until ctx ends: it lasts as long as its run does, and no
// longer than a day after the death of one that nobody cleared away.
func (s *session) renew(ctx context.Context) {
	look := time.NewTicker(renewLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			s.renewIfDue(ctx, time.Now())
		}
	}
}

// renewIfDue tries again at the next look if it fails.
func (s *session) renewIfDue(ctx context.Context, now time.Time) {
	// As the clock on the wall has it: the other one stands still while a machine sleeps.
	if s.expires.Sub(now.Round(0)) > renewAhead {
		return
	}
	until, err := s.broker.vault.RenewSession(ctx, vault.Owner(), s.opened.ID)
	if err != nil {
		s.broker.logger.Warn("the run's session could not be renewed", "error", err)
		return
	}
	s.expires = until.Round(0)
}

func (s *session) Identity() netiso.Identity {
	return netiso.Identity{CA: s.broker.ca, Certificate: s.opened.CertPEM, Key: s.opened.KeyPEM.Open()}
}

func (s *session) ProxyURL(addr net.Addr) string {
	u := url.URL{Scheme: "http", Host: addr.String(), User: url.UserPassword("av", string(s.opened.Token.Open()))}
	return u.String()
}

func (s *session) Serve(ctx context.Context, listener net.Listener) error {
	renewing, stop := context.WithCancel(ctx)
	var renewed sync.WaitGroup
	renewed.Go(func() { s.renew(renewing) })
	defer renewed.Wait()
	defer stop()
	return s.broker.proxy.Serve(ctx, listener)
}

func (s *session) Close(ctx context.Context) error {
	return s.broker.vault.EndSession(ctx, vault.Owner(), s.opened.ID)
}
