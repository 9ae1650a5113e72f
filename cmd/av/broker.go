package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/proxy"
	"github.com/av-project/av/proxy/ca"
	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// sessionGrant is what a run's session may do.
type sessionGrant struct {
	unmatched policy.Unmatched
	allow     []policy.Target
}

// broker joins the side that holds secrets to the side that runs boxes: the vault
// and a proxy of this process's own. It is the only place that knows both.
type broker struct {
	open   func(context.Context) (*vault.Vault, error)
	grant  sessionGrant
	logger *slog.Logger

	vault *vault.Vault
	proxy *proxy.Proxy
	ca    []byte
	run   string
}

// ready opens the vault and makes the proxy.
func (b *broker) ready(ctx context.Context) (err error) {
	if b.vault, err = b.open(ctx); err != nil {
		return err
	}
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
		Authority: authority, Sessions: b.vault, Recorder: b.vault,
		Guard: egress.New(net.DefaultResolver, &net.Dialer{}), Logger: b.logger, Now: time.Now,
	})
	return err
}

func (b *broker) close() {
	if b.vault != nil {
		b.vault.Close()
	}
}

// CA is the certificate that the command has to trust.
func (b *broker) CA() []byte { return b.ca }

// Open makes the run's session.
func (b *broker) Open(ctx context.Context, run string) (runner.Session, error) {
	opened, err := b.vault.OpenSession(ctx, vault.Owner(), vault.Grant{Run: run, Unmatched: b.grant.unmatched, Allow: b.grant.allow})
	if err != nil {
		return nil, err
	}
	b.run = run
	return &session{b, opened}, nil
}

// session is one run's session in the vault.
type session struct {
	broker *broker
	opened vault.Opened
}

func (s *session) Identity() netiso.Identity {
	return netiso.Identity{CA: s.broker.ca, Certificate: s.opened.CertPEM, Key: s.opened.KeyPEM.Open()}
}

func (s *session) ProxyURL(addr net.Addr) string {
	u := url.URL{Scheme: "http", Host: addr.String(), User: url.UserPassword("av", string(s.opened.Token.Open()))}
	return u.String()
}

func (s *session) Serve(ctx context.Context, listener net.Listener) error {
	return s.broker.proxy.Serve(ctx, listener)
}

func (s *session) Close(ctx context.Context) error {
	return s.broker.vault.EndSession(ctx, vault.Owner(), s.opened.ID)
}

// summary says in one line what the run asked of the world; nothing where no
// session was opened.
func (b *broker) summary(ctx context.Context) (string, error) {
	if b.run == "" {
		return "", nil
	}
	s, err := b.vault.Summary(ctx, vault.Owner(), b.run)
	if err != nil {
		return "", fmt.Errorf("read the run's requests: %w", err)
	}
	return describe(s), nil
}

// describe renders a summary.
func describe(s vault.Summary) string {
	var denied []string
	hints := map[string]bool{}
	var allow []string
	for _, h := range s.Hosts {
		if h.Denied == 0 {
			continue
		}
		denied = append(denied, h.Target.String())
		if h.Hint != "" && !hints[h.Hint] {
			hints[h.Hint] = true
			allow = append(allow, h.Hint)
		}
	}
	line := fmt.Sprintf("%s to %s", count(s.Requests, "request"), count(len(s.Hosts), "host"))
	if s.Denied == 0 {
		return line + ", none denied"
	}
	line += fmt.Sprintf(", %d denied: %s", s.Denied, strings.Join(denied, ", "))
	if len(allow) > 0 {
		line += "; to allow: " + strings.Join(allow, "; ")
	}
	return line
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
