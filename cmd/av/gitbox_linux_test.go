package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
)

// The remotes are written for ssh; the forge speaks https and wants a token that is in the
// vault alone. The name in the commit is the one that the host's git has.
func TestGitClonesAndPushesToSSHRemotesWithTheVaultsToken(t *testing.T) {
	t.Parallel()
	git := require.Client(t, "git")
	const name, token = "git.example.test", "t0ken-of-the-vault"
	r := newReach(t, name)
	root := t.TempDir()
	bare := filepath.Join(root, "team", "repo.git")
	own := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command(git, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	own(root, "init", "-q", "--bare", "--initial-branch=main", bare)
	own(bare, "config", "http.receivepack", "true")
	backend := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Dir: root, Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "PATH=" + os.Getenv("PATH"), "HOME=" + root}}
	ln, err := r.internet.Listen(netip.AddrPortFrom(fakenet.APIAddr, 8443))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: r.internet.TLS(), ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if user, password, _ := q.BasicAuth(); user != "x-access-token" || password != token {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, q)
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.ServeTLS(ln, "", "") }()
	t.Cleanup(func() { server.Close(); <-served })

	user := t.TempDir()
	r.write(filepath.Join(user, ".gitconfig"), "[user]\n\tname = Ada the \\\\ First\n\temail = ada@example.test\n[commit]\n\tgpgsign = true\n")
	r.env = append(r.env, "HOME="+user)
	r.as("credential", "set", "LOGIN=x-access-token")
	r.as("credential", "set", "TOKEN="+token)
	r.services(fmt.Sprintf("  - {name: forge, host: %s, auth: {type: basic, username: LOGIN, password: TOKEN}, upstream: {address: \"%s:8443\"}}\n", name, fakenet.APIAddr))
	out, _ := r.box(`set -e
		git clone -q git@` + name + `:team/repo.git one; cd one
		git config commit.gpgsign true
		echo hello >README; git add README; git commit -qm first; git push -q origin HEAD:main
		git clone -q ssh://git@` + name + `/team/repo.git ../two; cat ../two/README; git remote get-url origin
		! git ls-remote git@other.example.test:team/repo.git </dev/null
		env | grep -c ` + token + ` || true; grep -rl ` + token + ` .git ~ 2>/dev/null || true; echo done`)
	if !strings.Contains(out, "hello\n") || !strings.Contains(out, "\n0\ndone\n") {
		t.Errorf("the box says\n%s", out)
	}
	if got := own(bare, "log", "--format=%an <%ae> %s%x20%G?", "main"); got != `Ada the \ First <ada@example.test> first N` {
		t.Errorf("the forge has %q", got)
	}
	// Control: without the credential the forge lets nobody in, and nobody is asked.
	r.services(fmt.Sprintf("  - {name: forge, host: %s, auth: {type: passthrough}, upstream: {address: \"%s:8443\"}}\n", name, fakenet.APIAddr))
	out, _ = r.box("git clone -q git@" + name + ":team/repo.git three; true")
	if !strings.Contains(out, "terminal prompts disabled") {
		t.Errorf("without the token: %s", out)
	}
}
