package runner_test

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
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/gate"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/scripts/require"
)

// program builds av once for all tests of the package: the gate's container runs it.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("av-under-test-%d", os.Getpid()))
	build := exec.Command("go", "build", "-o", path, "github.com/av-project/av/cmd/av")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build av: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		os.Remove(path)
	}
	os.Exit(code)
}

// notary is a broker whose proxy refuses every CONNECT but writes it down, and
// answers plain requests itself. What the box does is seen from outside of it.
type notary struct {
	ca, certificate, key []byte
	server               tls.Certificate
	mu                   sync.Mutex
	connects             []string
	closed               bool
	opening              func() error // nil: a session is opened at once
}

func newNotary(t *testing.T) *notary {
	t.Helper()
	caKey, caDER := certificate(t, "test CA", nil, nil)
	caCert, err := x509.ParseCertificate(caDER)
	if err != nil {
		t.Fatal(err)
	}
	serverKey, serverDER := certificate(t, gate.ProxyName, caCert, caKey)
	clientKey, clientDER := certificate(t, "client", nil, nil)
	keyDER, err := x509.MarshalPKCS8PrivateKey(clientKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	return &notary{
		ca: block("CERTIFICATE", caDER), certificate: block("CERTIFICATE", clientDER), key: block("PRIVATE KEY", keyDER),
		server: tls.Certificate{Certificate: [][]byte{serverDER}, PrivateKey: serverKey},
	}
}

func certificate(t *testing.T, name string, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if parent == nil {
		parent, signer = template, key
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func (n *notary) CA() []byte                  { return n.ca }
func (n *notary) ProxyURL(a net.Addr) string  { return "http://" + a.String() }
func (n *notary) Close(context.Context) error { n.closed = true; return nil }
func (n *notary) Open(context.Context, string) (runner.Session, error) {
	if n.opening != nil {
		return n, n.opening()
	}
	return n, nil
}
func (n *notary) Identity() netiso.Identity {
	return netiso.Identity{CA: n.ca, Certificate: n.certificate, Key: n.key}
}

func (n *notary) Serve(ctx context.Context, listener net.Listener) error {
	secure := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{n.server}, ClientAuth: tls.RequireAnyClientCert})
	server := &http.Server{Handler: n, ErrorLog: nil}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(secure); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (n *notary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		n.mu.Lock()
		n.connects = append(n.connects, r.Host)
		n.mu.Unlock()
		http.Error(w, "not here: "+r.Host, http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "notary saw %s", r.URL)
}

func (n *notary) asked() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.connects, " ")
}

// inBox runs a shell command in a box and gives what it printed.
func inBox(t *testing.T, n *notary, change func(*runner.Spec), command ...string) (stdout, stderr string, code int, err error) {
	t.Helper()
	require.Root(t)
	require.Docker(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(t.TempDir(), "home")
	owner, err := netiso.Owner(home)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out, complaints bytes.Buffer
	spec := runner.Spec{
		Home: home, Owner: owner, Command: command, Workspace: t.TempDir(), Program: path, Broker: n,
		Streams: runner.Streams{In: in, Out: &out, Err: &complaints},
		Signals: make(chan os.Signal),
		Say:     func(s string) { t.Log(s) },
		Watchdog: func(_ string, alive *os.File) (*os.Process, error) {
			cmd := exec.Command("cat") // goes when its input ends, as a watchdog does
			cmd.Stdin = alive
			err := cmd.Start()
			return cmd.Process, err
		},
	}
	if change != nil {
		change(&spec)
	}
	code, err = runner.Container(t.Context(), spec)
	return out.String(), complaints.String(), code, err
}

func TestCommandRunsInTheBoxAndItsExitCodeIsOurs(t *testing.T) {
	n := newNotary(t)
	out, stderr, code, err := inBox(t, n, nil, "sh", "-c", "pwd; echo oops >&2; exit 7")
	if err != nil || code != 7 || out != "/workspace\n" || stderr != "oops\n" {
		t.Errorf("got %q, %q, code %d, %v", out, stderr, code, err)
	}
	if !n.closed {
		t.Error("the session was not closed")
	}
}

func TestProxyVariablesLeadToTheProxy(t *testing.T) {
	out, _, _, err := inBox(t, newNotary(t), nil, "curl", "-sS", "http://example.test/path")
	if err != nil || out != "notary saw http://example.test/path" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestConnectionPastTheProxyIsCaughtWithItsName(t *testing.T) {
	n := newNotary(t)
	out, stderr, code, err := inBox(t, n, nil, "curl", "-sS", "-m5", "--noproxy", "*", "http://caught.test:8080/", "http://203.0.113.66/")
	if err != nil {
		t.Fatal(err)
	}
	if want := "caught.test:8080 203.0.113.66:80"; n.asked() != want {
		t.Errorf("the proxy was asked for %q, want %q (%s, %d)", n.asked(), want, stderr, code)
	}
	if !strings.Contains(out, "not here: caught.test:8080") {
		t.Errorf("a plain client was not told why: %q", out)
	}
}

// Who is killed while it is told must not take it along: what was seen before is there still.
func TestWhatCameOutOfTheBoxIsToldWhileTheRunsFolderIsThere(t *testing.T) {
	told := 0
	_, _, _, err := inBox(t, newNotary(t), func(s *runner.Spec) {
		home := s.Home
		s.Protected = func(f runner.Found) {
			told++
			dirs, _ := filepath.Glob(filepath.Join(home, "runs", "[0-9a-f]*"))
			if len(dirs) != 1 {
				t.Errorf("there are the folders %q", dirs)
				return
			}
			if again, err := runner.CompareDead(dirs[0]); err != nil || len(again) != 1 || !slices.Equal(again[0].Created, f.Created) {
				t.Errorf("%+v, %v", again, err)
			}
		}
	}, "sh", "-c", "echo x >.envrc")
	if err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
}

func TestMisspeltCommandIs127AndNamed(t *testing.T) {
	_, _, _, err := inBox(t, newNotary(t), nil, "clade")
	var exit interface{ CommandExit() int }
	if !errors.As(err, &exit) || exit.CommandExit() != 127 || !strings.Contains(err.Error(), `"clade"`) {
		t.Errorf("got %v", err)
	}
}

// Nothing starts in the box before the walls are verified, whatever the gate says.
func TestNothingRunsBehindWallsThatAreNotProved(t *testing.T) {
	require.Root(t)
	require.Docker(t)
	liar := filepath.Join(t.TempDir(), "lyinggate")
	build := exec.Command("go", "build", "-o", liar, "./testdata/lyinggate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	workspace := t.TempDir()
	for name, c := range map[string]struct {
		change func(*runner.Spec)
		runs   bool
	}{
		"a gate that lies": {func(s *runner.Spec) { s.Workspace, s.Program = workspace, liar }, false},
		"control":          {func(s *runner.Spec) { s.Workspace = workspace }, true},
	} {
		_, _, _, err := inBox(t, newNotary(t), c.change, "touch", "ran")
		if (err == nil) != c.runs {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "the box is not closed") {
			t.Errorf("%s: %v", name, err)
		}
		if removed := os.Remove(filepath.Join(workspace, "ran")); (removed == nil) != c.runs {
			t.Errorf("%s: did the command run? %v", name, removed)
		}
	}
}
