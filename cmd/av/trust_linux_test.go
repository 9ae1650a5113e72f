package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/runner/trust"
)

// runtimesImage holds what people write agents and their tools in. /original is what its files were.
const runtimesImage = `FROM debian:bookworm-slim
RUN mkdir -p /usr/share/man/man1 \
 && apt-get -o APT::Update::Error-Mode=any -o Acquire::Retries=5 update \
 && apt-get -o Acquire::Retries=5 -o DPkg::Options::=--force-unsafe-io install -y --no-install-recommends \
      busybox-static ca-certificates chromium curl git liblwp-protocol-https-perl nodejs npm openjdk-17-jdk-headless \
      openssl php-cli php-curl python3-pip python3-requests ruby wget \
 && rm -rf /var/lib/apt/lists/*
RUN mkdir -p /var/lib/ca-certificates \
 && keytool -J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE -J-Dkeystore.pkcs12.macAlgorithm=NONE -importkeystore \
      -srckeystore /etc/ssl/certs/java/cacerts -srcstorepass changeit \
      -destkeystore /var/lib/ca-certificates/java-cacerts -deststoretype PKCS12 -deststorepass changeit \
 && cp -a /etc/ssl /original && cp /var/lib/ca-certificates/java-cacerts /original-pkcs12
`

// A program is one way to make a TLS connection.
type program struct {
	name string
	// line prints what $U answers, or what example.com says to programs that want an answer of their own kind.
	line string
	// files and variables say which of the two makes it trust, each without the other.
	files, variables bool
	// how it comes to it.
	how string
}

func runtimes() []program {
	return []program{
		{"curl", `curl -sS $U`, true, true, "the bundle, or `CURL_CA_BUNDLE`"},
		{"wget", `wget -nv -O- $U`, true, false, "the bundle (GnuTLS)"},
		{"git", `git ls-remote https://example.com/repo.git`, true, true, "the bundle, or `GIT_SSL_CAINFO`"},
		{"openssl s_client", `printf 'GET / HTTP/1.0\r\nHost: example.com\r\n\r\n' | openssl s_client -quiet -verify_return_error -connect example.com:443 -servername example.com`, true, true, "the folder of hashes, or `SSL_CERT_FILE`"},
		{"Python, urllib", `python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read())' $U`, true, true, "OpenSSL's, or `SSL_CERT_FILE`"},
		{"Python, requests", `python3 -c 'import sys, requests as r; print(r.get(sys.argv[1]).text)' $U`, true, true, "the bundle (Debian's; others' takes certifi's), or `REQUESTS_CA_BUNDLE`"},
		{"pip", `pip index versions --index-url https://example.com/simple/ marked`, true, true, "the bundle (Debian's; others' takes its own), or `PIP_CERT`"},
		{"Node.js, https", `node -e 'require("https").get(process.argv[1], a => a.pipe(process.stdout))' $U`, true, true, "OpenSSL's (Debian's; others' has roots of its own), or `NODE_EXTRA_CA_CERTS`"},
		{"Node.js, fetch", `node -e 'fetch(process.argv[1]).then(a => a.text()).then(console.log)' $U`, true, true, "the same"},
		{"npm", `npm view --cache=/tmp/npm-$W --registry=https://example.com/npm/ --fetch-retries=0 marked description`, true, true, "Node.js's, or `npm_config_cafile`"},
		{"Go", `./fetch $U`, true, true, "the bundle, or `SSL_CERT_FILE`"},
		{"Java", `java -cp /tmp Fetch $U`, true, false, "`cacerts`"},
		{"Java, PKCS 12", `java -Djavax.net.ssl.trustStore=/var/lib/ca-certificates/java-cacerts -cp /tmp Fetch $U`, true, false, "a store as Java 18 and later have it, and SUSE's place for it"},
		{"Ruby", `ruby -ropen-uri -e 'puts URI.open(ARGV[0]).read' $U`, true, true, "OpenSSL's, or `SSL_CERT_FILE`"},
		{"PHP, streams", `php -r 'echo file_get_contents($argv[1]) ?: exit(1);' $U`, true, true, "OpenSSL's, or `SSL_CERT_FILE`"},
		{"PHP, curl", `php -r '$c = curl_init($argv[1]); curl_exec($c) or exit(curl_error($c));' $U`, true, false, "the bundle: libcurl in a program reads no variable"},
		{"Perl, LWP", `perl -MLWP::UserAgent -e '$a = LWP::UserAgent->new->get($ARGV[0]); print $a->decoded_content, $a->status_line' $U`, true, true, "OpenSSL's, or `PERL_LWP_SSL_CA_FILE`"},
		{"Perl, HTTP::Tiny", `perl -MHTTP::Tiny -e 'print HTTP::Tiny->new(verify_SSL => 1)->get($ARGV[0])->{content}' $U`, true, true, "the bundle, or `SSL_CERT_FILE`"},
		{"Chromium, headless", `chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir=/tmp/chromium-$W --dump-dom $U`, true, false, "its policy `CACertificates`"},
	}
}

// mistrust is what a runtime says when it does not trust.
var mistrust = regexp.MustCompile(`(?i)certificate|self.signed|PKIX path|ERR_CERT_AUTHORITY_INVALID|net_error -202`)

// trustWorld is one server that answers every kind of program with a marker, and a vault whose service carries
// example.com there, with a token.
type trustWorld struct {
	dir, av, marker string
	env             []string
}

func newTrustWorld(t *testing.T) *trustWorld {
	t.Helper()
	dir, env, av := home(t)
	var random [4]byte
	_, _ = rand.Read(random[:])
	w := &trustWorld{dir: filepath.Dir(dir), av: av, env: env, marker: fmt.Sprintf("4.%d.7", binary.BigEndian.Uint32(random[:]))}
	server := httptest.NewTLSServer(http.HandlerFunc(w.answer))
	t.Cleanup(server.Close)
	ca := filepath.Join(w.dir, "ca.pem")
	services := filepath.Join(w.dir, "services.yaml")
	for name, content := range map[string]string{
		ca:       string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
		services: fmt.Sprintf("services:\n  - name: example\n    host: example.com\n    auth: {type: bearer, token: TOKEN}\n    upstream: {address: %q, ca: ca.pem}\n", server.Listener.Addr()),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"credential", "set", "TOKEN=sesame"}, {"service", "set", "-f", services}} {
		cmd := exec.Command(av, args...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("av %v: %v: %s", args, err, out)
		}
	}
	return w
}

// answer gives each kind of program the marker in the form that it wants.
func (w *trustWorld) answer(out http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer sesame" {
		http.Error(out, "no token", http.StatusUnauthorized)
		return
	}
	m := w.marker
	switch r.URL.Path {
	case "/repo.git/info/refs":
		fmt.Fprintf(out, "%040d\trefs/heads/%s\n", 7, m)
	case "/repo.git/HEAD":
		fmt.Fprintf(out, "ref: refs/heads/%s\n", m)
	case "/simple/marked/":
		out.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(out, `<!DOCTYPE html><a href="marked-%s.tar.gz">marked-%s.tar.gz</a>`, m, m)
	case "/npm/marked":
		fmt.Fprintf(out, `{"name":"marked","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"marked","version":"1.0.0","description":"%s"}}}`, m)
	default:
		fmt.Fprintln(out, m)
	}
}

// goFetch builds testdata/trust/fetch.go, without cgo: what it trusts is Go's affair alone.
func goFetch(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fetch")
	build := exec.Command("go", "build", "-trimpath", "-o", file, "testdata/trust/fetch.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

func copyTo(t *testing.T, dir, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ways are the environments and files that each runtime is tried with. The last is the control.
var ways = []string{"both", "files", "variables", "neither"}

func TestEveryRuntimeTrustsTheProxyAndNoneDoesWithoutAv(t *testing.T) {
	t.Parallel()
	w := newTrustWorld(t)
	image := testImage(t, "av-test-runtimes", runtimesImage)
	work := t.TempDir()
	copyTo(t, work, goFetch(t))
	copyTo(t, work, "testdata/trust/Fetch.java")
	all := runtimes()
	var unset strings.Builder
	for _, kv := range trust.Env("") {
		unset.WriteString(" -u " + strings.TrimSuffix(kv, "="))
	}
	for i, r := range all {
		if err := os.WriteFile(filepath.Join(work, fmt.Sprintf("line-%d", i)), []byte(r.line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	begin := fmt.Sprintf(`
export U=https://example.com/
javac -d /tmp Fetch.java || exit 9
# Both processors at once: most of the time is spent in starting programs.
try() {
	seq 0 %d | xargs -P 3 -I{} sh -c 'export W=$1-{}; shift; timeout 120 "$@" sh line-{} >out-$W 2>&1 </dev/null' sh "$@"
}
`, len(all)-1)
	// The second box is root's, to whom av's files are files like any others: it can put the
	// image's own back. In the first they are mounts.
	for _, box := range []struct {
		flags  []string
		script string
	}{
		{nil, "try both env; try files env" + unset.String()},
		{[]string{"--root"}, `rm -rf /etc/ssl /etc/chromium/policies/managed && cp -r --preserve=links,mode /original /etc/ssl || exit 8
cp /original-pkcs12 /var/lib/ca-certificates/java-cacerts || exit 7
try variables env; try neither env` + unset.String()},
	} {
		args := append(append([]string{"run", "--isolation=container", "--image", image}, box.flags...), "--", "sh", "-c", begin+box.script+"; exit 0")
		cmd := exec.Command(w.av, args...)
		cmd.Env, cmd.Dir = w.env, work
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v:\n%s", err, out)
		}
		t.Logf("the box took %s", time.Since(began).Round(time.Second))
	}
	for i, r := range all {
		trusts := []bool{true, r.files, r.variables, false}
		for n, way := range ways {
			out, err := os.ReadFile(filepath.Join(work, fmt.Sprintf("out-%s-%d", way, i)))
			if err != nil {
				t.Error(err)
			}
			got := strings.Contains(string(out), w.marker)
			if got != trusts[n] || !got && !mistrust.Match(out) {
				t.Errorf("%s, with %s: it trusts: %v, want %v:\n%s", r.name, way, got, trusts[n], out[max(0, len(out)-1500):])
			}
		}
	}
	if left := leftOf(filepath.Join(w.dir, "home")); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}
