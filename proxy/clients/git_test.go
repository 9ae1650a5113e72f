package clients_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/av-project/av/scripts/require"
	"github.com/av-project/av/vault/policy"
)

// forge serves the bare repositories in root with git's own server, to whoever has the
// vault's login.
func forge(t testing.TB, git, root string) http.HandlerFunc {
	backend := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Dir: root, Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "PATH=" + os.Getenv("PATH"), "HOME=" + root}}
	return func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "robot" || password != token {
			t.Errorf("%s %s came as %q", r.Method, r.URL, user)
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		// CGI wants to know how long a body is, and git does not say it of a large push.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		backend.ServeHTTP(w, r)
	}
}

// gitIn runs git without the proxy, for what the test itself does.
func gitIn(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(gitAlone, "PATH="+os.Getenv("PATH"), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// gitAlone keeps git to what it is told: it asks nobody, and reads no settings.
var gitAlone = []string{
	"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
	"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@a.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@a.test",
}

func TestGitClonesAndPushesWithItsCredential(t *testing.T) {
	git := require.Client(t, "git")
	root, work := t.TempDir(), t.TempDir()
	bare := filepath.Join(root, "it.git")
	gitIn(t, root, "init", "-q", "--bare", "--initial-branch=main", bare)
	gitIn(t, bare, "config", "http.receivepack", "true")
	seed := filepath.Join(work, "seed")
	gitIn(t, work, "init", "-q", "--initial-branch=main", seed)
	must(t, os.WriteFile(filepath.Join(seed, "README"), []byte("hello"), 0o600))
	gitIn(t, seed, "add", "README")
	gitIn(t, seed, "commit", "-qm", "first")
	gitIn(t, seed, "push", "-q", bare, "main")

	service := upstream(t, forge(t, git, root))
	service.Auth = policy.Auth{Type: policy.Basic, Username: "LOGIN", Password: "TOKEN"}
	w := newWorld(t, service)
	clone := filepath.Join(work, "clone")
	w.run(work, gitAlone, git, "clone", "-q", "https://"+host+"/it.git", clone)
	if read, err := os.ReadFile(filepath.Join(clone, "README")); err != nil || string(read) != "hello" {
		t.Fatalf("the clone holds %q, %v", read, err)
	}
	// A small push has a length; one beyond http.postBuffer, 1 MiB, has none.
	random := rand.NewChaCha8([32]byte{2})
	for _, size := range []int{10, 3 << 20} {
		content := make([]byte, size)
		_, _ = random.Read(content)
		must(t, os.WriteFile(filepath.Join(clone, "data"), content, 0o600))
		gitIn(t, clone, "add", "data")
		gitIn(t, clone, "commit", "-qm", "more")
		w.run(clone, gitAlone, git, "push", "-q", "origin", "main")
		if got, want := gitIn(t, bare, "rev-parse", "main"), gitIn(t, clone, "rev-parse", "main"); got != want {
			t.Errorf("after a push of %d bytes the forge is at %s, not %s", size, got, want)
		}
	}
	// A clone that had come with a credential would keep it.
	config, err := os.ReadFile(filepath.Join(clone, ".git", "config"))
	must(t, err)
	if bytes.Contains(config, []byte(token)) || bytes.Contains(config, []byte("robot")) {
		t.Errorf("the clone's configuration holds the credential:\n%s", config)
	}
}

// The service may be for reading alone, which with git is a matter of paths.
func TestGitPushIsDeniedWhereOnlyReadingIsGranted(t *testing.T) {
	git := require.Client(t, "git")
	root, work := t.TempDir(), t.TempDir()
	bare := filepath.Join(root, "it.git")
	gitIn(t, root, "init", "-q", "--bare", "--initial-branch=main", bare)
	gitIn(t, bare, "config", "http.receivepack", "true")
	service := upstream(t, forge(t, git, root))
	service.Auth = policy.Auth{Type: policy.Basic, Username: "LOGIN", Password: "TOKEN"}
	refs, pack := service, service
	refs.Name, refs.Path, refs.Methods = "refs", "/*/info/refs", []string{"GET"}
	pack.Name, pack.Path, pack.Methods = "pack", "/*/git-upload-pack", []string{"POST"}
	w := newWorld(t, refs, pack)
	clone := filepath.Join(work, "clone")
	w.run(work, gitAlone, git, "clone", "-q", "https://"+host+"/it.git", clone)
	must(t, os.WriteFile(filepath.Join(clone, "data"), nil, 0o600))
	gitIn(t, clone, "add", "data")
	gitIn(t, clone, "commit", "-qm", "more")
	_, complaints, code := w.try(clone, gitAlone, git, "push", "-q", "origin", "HEAD:main")
	if code == 0 || !strings.Contains(complaints, "403") {
		t.Errorf("exit code %d: %s", code, complaints)
	}
	if refs := gitIn(t, bare, "for-each-ref"); refs != "" {
		t.Errorf("the forge holds %s", refs)
	}
}

// git shows what a server says only where it asks for the refs, and only in text/plain:
// so is a repository that was not granted denied. What a push that may read its refs is
// told at its second request, git does not show.
func TestGitShowsWhyAPushIsDeniedAndWhatHelps(t *testing.T) {
	git := require.Client(t, "git")
	root, work := t.TempDir(), t.TempDir()
	for _, name := range []string{"mine.git", "other.git"} {
		bare := filepath.Join(root, name)
		gitIn(t, root, "init", "-q", "--bare", "--initial-branch=main", bare)
		gitIn(t, bare, "config", "http.receivepack", "true")
	}
	service := upstream(t, forge(t, git, root))
	service.Auth = policy.Auth{Type: policy.Basic, Username: "LOGIN", Password: "TOKEN"}
	service.Path = "/mine.git/*"
	w := newWorld(t, service)
	clone := filepath.Join(work, "clone")
	gitIn(t, work, "init", "-q", "--initial-branch=main", clone)
	must(t, os.WriteFile(filepath.Join(clone, "data"), nil, 0o600))
	gitIn(t, clone, "add", "data")
	gitIn(t, clone, "commit", "-qm", "first")
	// Control: the same push to the repository that was granted.
	w.run(clone, gitAlone, git, "push", "-q", "https://"+host+"/mine.git", "main")

	_, complaints, code := w.try(clone, gitAlone, git, "push", "-q", "https://"+host+"/other.git", "main")
	for _, line := range []string{
		"remote: policy does not let this run use that method and path of " + host + ":443",
		"remote: hint: service vendor covers " + host + ":443/mine.git/*",
		"remote: rule: service vendor",
	} {
		if code == 0 || !strings.Contains(complaints, line+"\n") {
			t.Errorf("exit code %d, no %q in:\n%s", code, line, complaints)
		}
	}
	if refs := gitIn(t, filepath.Join(root, "other.git"), "for-each-ref"); refs != "" {
		t.Errorf("the forge holds %s", refs)
	}
}
