package clients_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/av-project/av/scripts/require"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// goClient names the variable that makes the test program a client in Go.
const goClient = "GO_CLIENT"

// goMain is that client: net/http as every program has it.
func goMain(address string) int {
	do := goRequests
	if strings.HasPrefix(address, "wss:") {
		do = goSocket
	}
	if err := do(address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func goRequests(address string) error {
	response, err := http.Get(address)
	if err != nil {
		return err
	}
	response.Body.Close()
	body, err := os.Open("upload")
	if err != nil {
		return err
	}
	if response, err = http.Post(address, "application/octet-stream", body); err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// The same in Python, with its own library and with the one that people install.
const (
	pythonURLLib = `
import sys, urllib.request
address = sys.argv[1]
urllib.request.urlopen(address).read()
with open("upload", "rb") as f:
    print(urllib.request.urlopen(urllib.request.Request(address, data=f.read())).read().decode())
`
	pythonRequests = `
import sys, requests
address = sys.argv[1]
with requests.Session() as s:
    s.get(address).raise_for_status()
    def pieces():
        with open("upload", "rb") as f:
            while piece := f.read(65536):
                yield piece
    r = s.post(address, data=pieces())
    r.raise_for_status()
    print(r.text)
`
)

// sink is an upstream that notes what arrives.
type sink struct {
	t    testing.TB
	want string // the Authorization that has to come

	mu   sync.Mutex
	seen []string
}

// ServeHTTP answers with a digest of the body, so that one that was cut would be seen.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if got := fmt.Sprint(r.Header["Authorization"]); got != "["+s.want+"]" {
		s.t.Errorf("%s came with authorization %s", r.Method, got)
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "Proxy-") {
			s.t.Errorf("%s came with %s", r.Method, name)
		}
	}
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		s.t.Errorf("%s: %v", r.Method, err)
	}
	s.mu.Lock()
	s.seen = append(s.seen, fmt.Sprintf("%s %s %d", r.Method, r.URL, n))
	s.mu.Unlock()
	fmt.Fprintf(w, "%x", sum.Sum(nil))
}

// upload writes the file that the clients send, and returns its digest.
func upload(t testing.TB, dir string) string {
	t.Helper()
	body := make([]byte, 3<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(body)
	must(t, os.WriteFile(filepath.Join(dir, "upload"), body, 0o600))
	return fmt.Sprintf("%x", sha256.Sum256(body))
}

const (
	address = "https://" + host + "/v1/things?q=a;b"
	arrived = "GET /v1/things?q=a;b 0, POST /v1/things?q=a;b 3145728"
)

// goItself is this program, as the client that goClient makes it.
func goItself(t testing.TB) [][]string {
	path, err := os.Executable()
	must(t, err)
	return [][]string{{path}}
}

func TestClientsGetTheirCredential(t *testing.T) {
	curl := func(version string) func(testing.TB) [][]string {
		return func(t testing.TB) [][]string {
			path := require.Client(t, "curl", version, "--version")
			common := []string{path, "-sS", "--fail-with-body", version, "-w", "\nHTTP/%{http_version}"}
			return [][]string{append(common[:len(common):len(common)], address), append(common[:len(common):len(common)], "--data-binary", "@upload", address)}
		}
	}
	for _, c := range []struct {
		name     string
		commands func(testing.TB) [][]string
		env      []string
		says     string // besides the digest
		proto    string // inside its tunnel, as the records have it
	}{
		{"curl with HTTP/1.1", curl("--http1.1"), nil, "HTTP/1.1", "HTTP/1.1"},
		{"curl with HTTP/2", curl("--http2"), nil, "HTTP/2", "HTTP/2.0"},
		{"wget", func(t testing.TB) [][]string {
			// Debian's is made with GnuTLS, which looks at no variable.
			script := "exec " + require.Client(t, "wget") + ` --ca-certificate="$SSL_CERT_FILE" -nv -O- "$@"`
			return [][]string{{"sh", "-c", script, "wget", address}, {"sh", "-c", script, "wget", "--post-file=upload", address}}
		}, nil, "", "HTTP/1.1"},
		{"Python's urllib", func(t testing.TB) [][]string {
			return [][]string{{require.Client(t, "python3", "-c", "import ssl"), "-c", pythonURLLib, address}}
		}, nil, "", "HTTP/1.1"},
		{"Python's requests", func(t testing.TB) [][]string {
			return [][]string{{require.Client(t, "python3", "-c", "import requests"), "-c", pythonRequests, address}}
		}, nil, "", "HTTP/1.1"},
		{"Go's net/http", goItself, []string{goClient + "=" + address}, "", "HTTP/2.0"},
		{"Go's net/http with HTTP/1.1", goItself, []string{goClient + "=" + address, "GODEBUG=http2client=0"}, "", "HTTP/1.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			commands := c.commands(t)
			s := &sink{t: t, want: bearer}
			w := newWorld(t, upstream(t, s.ServeHTTP))
			dir := t.TempDir()
			digest := upload(t, dir)
			var out string
			for _, command := range commands {
				out = w.run(dir, c.env, command...)
			}
			if !strings.Contains(out, digest) || !strings.Contains(out, c.says) {
				t.Errorf("it says %q", out)
			}
			if got := strings.Join(s.seen, ", "); got != arrived {
				t.Errorf("what arrived is %s", got)
			}
			w.recordedAs(http.StatusOK, c.proto, 2)
		})
	}
}

// The positive control of all the tests here: what makes the credential arrive is the
// service, and a client that was let out some other way would not have it.
func TestWithoutItsServiceAClientIsRefused(t *testing.T) {
	curl := require.Client(t, "curl")
	service := upstream(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	service.Disabled = true
	w := newWorld(t, service)
	if out, complaints, code := w.try(t.TempDir(), nil, curl, "-sS", address); code == 0 || !strings.Contains(complaints, "403") {
		t.Errorf("exit code %d: %s%s", code, out, complaints)
	}
	service.Disabled, service.Auth = false, policy.Auth{Type: policy.Passthrough}
	s := &sink{t: t, want: "mine"}
	open := upstream(t, s.ServeHTTP)
	open.Auth = service.Auth
	w = newWorld(t, open)
	w.run(t.TempDir(), nil, curl, "-sS", "--fail-with-body", "-H", "Authorization: mine", address)
	if len(s.seen) != 1 {
		t.Errorf("what arrived is %s", s.seen)
	}
}

// recorded tells whether each request left its record, with the key that it got.
func (w *world) recorded(requests int) {
	w.t.Helper()
	w.recordedAs(http.StatusOK, "", requests)
}

// recordedAs wants a protocol too, where one is given.
func (w *world) recordedAs(status int, proto string, requests int) {
	w.t.Helper()
	entries, err := w.vault.Requests(w.t.Context(), vault.Owner(), "", 0)
	must(w.t, err)
	got := 0
	for _, e := range entries {
		if slices.Equal(e.Keys, []string{"TOKEN"}) && e.Status == status && e.Host == host && (proto == "" || e.Proto == proto) {
			got++
		}
	}
	if got != requests || len(entries) != requests {
		w.t.Errorf("%d of %d records name the credential and %q, want %d: %+v", got, len(entries), proto, requests, entries)
	}
}
