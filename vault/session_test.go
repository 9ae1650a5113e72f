package vault_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func ended(s *vault.Session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

func TestSessionIsFoundByItsTokenAndByItsCertificate(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	byToken, opened := openSession(t, v, vault.Grant{Run: "r1", Allow: []policy.Target{{Host: "a.test", Port: 443}}})
	cert := certificate(t, opened.CertPEM)
	byCertificate, err := v.SessionByCertificate(t.Context(), cert.Raw)
	if err != nil || byCertificate != byToken {
		t.Fatalf("%p, %p, %v", byCertificate, byToken, err)
	}
	if byToken.ID() != opened.ID || byToken.Run() != "r1" || !byToken.Alive() || ended(byToken) {
		t.Fatalf("%+v", opened)
	}
	set := byToken.Policy()
	if !set.Reach(policy.Target{Host: "a.test", Port: 443}).Allow || set.Reach(policy.Target{Host: "b.test", Port: 443}).Allow {
		t.Fatal("not the grant's policy")
	}
	// Another process finds it too.
	if s, err := openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open())); err != nil || s.ID() != opened.ID {
		t.Fatal(err)
	}

	if _, err := tls.X509KeyPair(opened.CertPEM, opened.KeyPEM.Open()); err != nil {
		t.Fatal(err)
	}
	if cert.IsCA || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || !cert.NotAfter.Equal(c.Now().Add(24*time.Hour)) {
		t.Fatalf("%+v", cert)
	}
	if token := opened.Token.Open(); len(token) != 43 {
		t.Fatalf("the token has %d characters, want 43 (256 bits)", len(token))
	}
}

func TestUnknownSessionsAreNotFound(t *testing.T) {
	v, _ := newVault(t, newClock())
	_, opened := openSession(t, v, vault.Grant{Run: "r"})
	token := string(opened.Token.Open())
	for _, wrong := range []string{"", token[:42], token + "A", strings.ToLower(token) + "x", " " + token, opened.ID} {
		if _, err := v.SessionByToken(t.Context(), wrong); !errors.Is(err, vault.ErrNoSession) {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
	_, second := openSession(t, v, vault.Grant{Run: "r"})
	bad := bytes.Clone(certificate(t, second.CertPEM).Raw)
	bad[len(bad)-1] ^= 1
	for _, wrong := range [][]byte{nil, bad, []byte(token)} {
		if _, err := v.SessionByCertificate(t.Context(), wrong); !errors.Is(err, vault.ErrNoSession) {
			t.Errorf("certificate: got %v", err)
		}
	}
}

// The file, and a file that was read yesterday, is no way in.
func TestOnlyHashesOfASessionAreStored(t *testing.T) {
	v, o := newVault(t, newClock())
	_, opened := openSession(t, v, vault.Grant{Run: "r"})
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	file := readFile(t, o.Home, "vault.db")
	hash := sha256.Sum256(opened.Token.Open())
	if !bytes.Contains(file, hash[:]) {
		t.Error("the token's hash is not there")
	}
	cert := certificate(t, opened.CertPEM)
	for name, secret := range map[string][]byte{"token": opened.Token.Open(), "certificate": cert.Raw, "key": opened.KeyPEM.Open()} {
		if bytes.Contains(file, secret) {
			t.Errorf("the %s is there", name)
		}
	}
}

func TestSessionEndsWithItsRun(t *testing.T) {
	v, _ := newVault(t, newClock())
	one, oneOpened := openSession(t, v, vault.Grant{Run: "r1"})
	two, _ := openSession(t, v, vault.Grant{Run: "r1"})
	other, _ := openSession(t, v, vault.Grant{Run: "r2"})
	none, _ := openSession(t, v, vault.Grant{})
	if n, err := v.EndRun(t.Context(), owner, "r1"); err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
	if !ended(one) || one.Alive() || !ended(two) || two.Alive() {
		t.Error("a session of the run lives")
	}
	if ended(other) || !other.Alive() || ended(none) {
		t.Error("a session of another run ended")
	}
	if _, err := v.SessionByToken(t.Context(), string(oneOpened.Token.Open())); !errors.Is(err, vault.ErrNoSession) {
		t.Errorf("got %v", err)
	}
	if n, err := v.EndRun(t.Context(), owner, "r1"); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := v.EndRun(t.Context(), owner, ""); err == nil || ended(none) {
		t.Error("a run without a name was ended")
	}
}

func TestEndedSessionGetsNothing(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	s := use(t, v, "A")
	if err := v.EndSession(t.Context(), owner, s.ID()); err != nil {
		t.Fatal(err)
	}
	if !ended(s) || s.Alive() {
		t.Error("it lives")
	}
	if _, err := s.Credential(t.Context(), "A", "a.test"); !errors.Is(err, vault.ErrNoSession) {
		t.Errorf("got %v", err)
	}
	// A run ends its session when it ends, whoever has revoked it meanwhile.
	for _, id := range []string{s.ID(), "never there"} {
		if err := v.EndSession(t.Context(), owner, id); err != nil {
			t.Errorf("ended twice: %v", err)
		}
	}
}

func TestSessionEndsWhenItsTimeIsOver(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	s, opened := openSession(t, v, vault.Grant{Run: "r", TTL: 5 * time.Minute})
	c.advance(5*time.Minute - time.Nanosecond)
	if !s.Alive() {
		t.Fatal("ended too early")
	}
	c.advance(time.Nanosecond)
	if s.Alive() || !ended(s) {
		t.Error("it outlives its time")
	}
	for _, v := range []*vault.Vault{v, openVault(t, o)} {
		if _, err := v.SessionByToken(t.Context(), string(opened.Token.Open())); !errors.Is(err, vault.ErrNoSession) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOpenTunnelsNeedNotAskWhetherTimeIsOver(t *testing.T) {
	c := newClock()
	_, o := newVault(t, c)
	v := openVault(t, o)
	opened, err := v.OpenSession(t.Context(), owner, vault.Grant{TTL: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c.advance(5*time.Minute - time.Millisecond)
	s, err := v.SessionByToken(t.Context(), string(opened.Token.Open()))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("nobody closed it")
	}
}

func TestGrantsHaveTheirBounds(t *testing.T) {
	v, _ := newVault(t, newClock())
	for name, g := range map[string]vault.Grant{
		"too short":          {TTL: 5*time.Minute - 1},
		"too long":           {TTL: 7*24*time.Hour + 1},
		"negative":           {TTL: -time.Hour},
		"unmatched":          {Unmatched: "maybe"},
		"host not canonical": {Allow: []policy.Target{{Host: "A.test", Port: 443}}},
		"host without port":  {Allow: []policy.Target{{Host: "a.test"}}},
		"run":                {Run: "a\nb"},
		"long run":           {Run: strings.Repeat("a", 257)},
		"many hosts":         {Allow: make([]policy.Target, 1001)},
	} {
		if _, err := v.OpenSession(t.Context(), owner, g); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	for _, ttl := range []time.Duration{5 * time.Minute, 7 * 24 * time.Hour} {
		if _, err := v.OpenSession(t.Context(), owner, vault.Grant{TTL: ttl}); err != nil {
			t.Errorf("%v: %v", ttl, err)
		}
	}
}

func TestSessionReachesOnlyCredentialsOfItsServices(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	set(t, v, "B", "2")
	s := use(t, v, "A")
	if got, err := s.Credential(t.Context(), "A", "a.test"); err != nil || string(got.Open()) != "1" {
		t.Fatalf("%q, %v", got.Open(), err)
	}
	for _, key := range []string{"B", "", "ca", "NONE"} {
		if got, err := s.Credential(t.Context(), key, "a.test"); !errors.Is(err, vault.ErrNoCredential) || !got.IsZero() {
			t.Errorf("%q: got %v, %v", key, got, err)
		}
	}
}

func TestChangesReachOpenSessions(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "1")
	s := use(t, v, "A")
	get := func() string {
		t.Helper()
		value, err := s.Credential(t.Context(), "A", "a.test")
		if err != nil {
			t.Fatal(err)
		}
		return string(value.Open())
	}
	get()
	set(t, v, "A", "2")
	if got := get(); got != "2" {
		t.Errorf("changed in this process: %q", got)
	}
	set(t, openVault(t, o), "A", "3")
	c.advance(time.Second)
	if got := get(); got != "3" {
		t.Errorf("changed in another process, a second later: %q", got)
	}

	target := policy.Target{Host: "a.test", Port: 443}
	if !s.Policy().Reach(target).Allow {
		t.Fatal("denied too early")
	}
	if err := v.SetServices(t.Context(), owner, nil); err != nil {
		t.Fatal(err)
	}
	if s.Policy().Reach(target).Allow {
		t.Error("a service that is gone is still allowed")
	}
	if _, err := s.Credential(t.Context(), "A", "a.test"); !errors.Is(err, vault.ErrNoCredential) {
		t.Errorf("got %v", err)
	}
}

func TestClosingTheVaultEndsItsSessionsHere(t *testing.T) {
	c := newClock()
	_, o := newVault(t, c)
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s, opened := openSession(t, v, vault.Grant{Run: "r"})
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if !ended(s) {
		t.Error("it lives")
	}
	if _, err := openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open())); err != nil {
		t.Errorf("it is gone for others, too: %v", err)
	}
}
