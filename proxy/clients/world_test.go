// Package clients_test tries the proxy with the programs that people use.
// Each is run as `av run` runs it on the host, with a credential that it does not have,
// and what arrives is looked at where it arrives.
package clients_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/proxy"
	"github.com/av-project/av/proxy/ca"
	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

const (
	host   = "api.vendor.test"
	token  = "s3cret-0f-the-vault"
	bearer = "Bearer " + token
)

func TestMain(m *testing.M) {
	if address := os.Getenv(goClient); address != "" {
		os.Exit(goMain(address))
	}
	goleak.VerifyTestMain(m)
}

// world is a vault and a proxy; it is the broker of the runs in it.
type world struct {
	t     testing.TB
	vault *vault.Vault
	proxy *proxy.Proxy
	ca    []byte
}

func newWorld(t testing.TB, services ...policy.Service) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t}
	opts := vault.Options{Home: t.TempDir() + "/av", Now: time.Now}
	must(t, vault.Init(ctx, opts, nil))
	var err error
	w.vault, err = vault.Open(ctx, opts)
	must(t, err)
	t.Cleanup(func() { must(t, w.vault.Close()) })
	must(t, w.vault.SetCredential(ctx, vault.Owner(), "TOKEN", vault.NewValue([]byte(token))))
	must(t, w.vault.SetCredential(ctx, vault.Owner(), "LOGIN", vault.NewValue([]byte("robot"))))
	must(t, w.vault.SetServices(ctx, vault.Owner(), services))
	certificate, key, err := w.vault.Authority(ctx, vault.Owner())
	must(t, err)
	w.ca = certificate
	authority, err := ca.New(certificate, key.Open(), time.Now)
	must(t, err)
	w.proxy, err = proxy.New(proxy.Config{
		Authority: authority, Sessions: w.vault, Recorder: w.vault,
		Guard: egress.New(net.DefaultResolver, &net.Dialer{}), RootCAs: x509.NewCertPool(),
	})
	must(t, err)
	return w
}

func (w *world) CA() []byte { return w.ca }

func (w *world) Open(ctx context.Context, run string) (runner.Session, error) {
	opened, err := w.vault.OpenSession(ctx, vault.Owner(), vault.Grant{Run: run})
	return &session{w, opened}, err
}

type session struct {
	*world
	opened vault.Opened
}

func (s *session) Identity() netiso.Identity { return netiso.Identity{} } // of runs in a box

func (s *session) ProxyURL(addr net.Addr) string {
	u := url.URL{Scheme: "http", Host: addr.String(), User: url.UserPassword("av", string(s.opened.Token.Open()))}
	return u.String()
}

func (s *session) Serve(ctx context.Context, listener net.Listener) error {
	return s.proxy.Serve(ctx, listener)
}

func (s *session) Close(ctx context.Context) error {
	return s.vault.EndSession(ctx, vault.Owner(), s.opened.ID)
}

// run runs a command on the host, and returns what it wrote to its output.
func (w *world) run(dir string, env []string, command ...string) string {
	w.t.Helper()
	out, complaints, code := w.try(dir, env, command...)
	if code != 0 {
		w.t.Fatalf("%q: exit code %d\n%s%s", command, code, out, complaints)
	}
	return out
}

func (w *world) try(dir string, env []string, command ...string) (out, complaints string, code int) {
	w.t.Helper()
	nothing, err := os.Open(os.DevNull)
	must(w.t, err)
	defer nothing.Close()
	var stdout, stderr bytes.Buffer
	// Nothing of the machine's own settings: they could add a credential, or take the
	// proxy away.
	environ := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.t.TempDir(), "LC_ALL=C.UTF-8"}
	code, err = runner.Host(w.t.Context(), runner.Spec{
		Home: w.t.TempDir(), Owner: "clients", Command: command, Env: env, Workspace: dir, Broker: w,
		Streams: runner.Streams{In: nothing, Out: &stdout, Err: &stderr},
	}, environ)
	must(w.t, err)
	for _, said := range []string{stdout.String(), stderr.String()} {
		if strings.Contains(said, token) {
			w.t.Errorf("%q knows the credential:\n%s", command, said)
		}
	}
	return stdout.String(), stderr.String(), code
}

// upstream serves handle as host over TLS on loopback, and is the service for it.
func upstream(t testing.TB, handle http.HandlerFunc) policy.Service {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	s := httptest.NewUnstartedServer(handle)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return policy.Service{
		Name: "vendor", Host: host, Auth: policy.Auth{Type: policy.Bearer, Token: "TOKEN"},
		Upstream: policy.Upstream{
			Address: netip.MustParseAddrPort(s.Listener.Addr().String()),
			CA:      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
