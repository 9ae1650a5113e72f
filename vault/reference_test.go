package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

func TestReferencesAreReadStrictly(t *testing.T) {
	for s, want := range map[string]vault.Reference{
		"env:GITHUB_TOKEN":    {Kind: "env", Target: "GITHUB_TOKEN"},
		"env:lower_1":         {Kind: "env", Target: "lower_1"},
		"file:/run/secrets/x": {Kind: "file", Target: "/run/secrets/x"},
		"file:~/.token":       {Kind: "file", Target: "~/.token"},
		"exec:op read op://x": {Kind: "exec", Target: "op read op://x"},
	} {
		if got, err := vault.ParseReference(s); err != nil || got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	const secret = "ghp_abcdef"
	for _, s := range []string{
		"", secret, "env:", "env:1A", "env:A-B", "env:A=B", "env:" + strings.Repeat("A", 129), "ENV:A", "http://" + secret,
		"file:", "file:relative/" + secret, "file:~", "file:~user/x", "file:/a\x00b", "file:/" + strings.Repeat("a", 4096),
		"exec:", "exec: \t", "exec:a\nb", "exec:a\x00b", "exec:" + strings.Repeat("a", 4097),
	} {
		if got, err := vault.ParseReference(s); err == nil || hint(err) == "" || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
}

func TestHowLongAFetchedValueIsKeptHasItsBounds(t *testing.T) {
	v, _ := newVault(t, newClock())
	for keep, ok := range map[time.Duration]bool{0: true, 1: true, 24 * time.Hour: true, 24*time.Hour + 1: false, -1: false} {
		err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Reference: vault.Reference{Kind: "env", Target: "X", Keep: keep}})
		if (err == nil) != ok {
			t.Errorf("%v: got %v", keep, err)
		}
	}
}

// refer stores a reference and returns what it resolves to.
func refer(t testing.TB, v *vault.Vault, ref string) (string, error) {
	t.Helper()
	r, err := vault.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Reference: r}); err != nil {
		t.Fatal(err)
	}
	value, err := v.Reveal(t.Context(), owner, "A")
	return string(value.Open()), err
}

// withEnv opens o's vault with an environment of its own.
func withEnv(t testing.TB, o vault.Options, env map[string]string) *vault.Vault {
	t.Helper()
	o.Getenv = func(name string) string { return env[name] }
	return openVault(t, o)
}

func TestReferencesAreResolvedOnTheHost(t *testing.T) {
	_, o := newVault(t, newClock())
	dir := t.TempDir()
	v := withEnv(t, o, map[string]string{"TOKEN": "from-env", "HOME": dir, "BIG": strings.Repeat("x", 64<<10+1)})
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	full := strings.Repeat("x", 64<<10)
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"env:TOKEN":                           "from-env",
		"file:" + write("line", "s3cret\n"):   "s3cret",
		"file:~/line":                         "s3cret",
		"file:" + write("dos", "s3cret\r\n"):  "s3cret",
		"file:" + write("lines", "a\nb\n\n"):  "a\nb\n",
		"file:" + write("binary", "\x00\xff"): "\x00\xff",
		"file:" + write("full", full+"\r\n"):  full,
		"exec:printf 's3cret\\n'":             "s3cret",
		"exec:cat":                            "", // stdin is empty
		"exec:tty >/dev/null || echo no tty":  "no tty",
		"exec:cat '" + dir + "/full'":         full,
	} {
		got, err := refer(t, v, ref)
		if want == "" {
			if err == nil || hint(err) == "" {
				t.Errorf("%s: %q, %v", ref, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v", ref, clipped(got), err)
		}
	}
	for ref, want := range map[string]string{
		"env:NONE":                             "NONE is not set",
		"env:BIG":                              "64 KiB",
		"file:" + dir + "/none":                "no such file",
		"file:" + dir:                          "not a regular file",
		"file:" + pipe:                         "not a regular file",
		"file:" + write("empty", "\n"):         "empty",
		"file:" + write("big", full+"xs3cret"): "64 KiB",
		"exec:echo s3cret; echo s3cret >&2; exit 3": "exit status 3",
		"exec:echo s3cret; kill -9 $$":              "killed",
		"exec:no-such-program s3cret":               "exit status 127",
		"exec:yes s3cret":                           "64 KiB",
		"exec:true":                                 "empty",
	} {
		got, err := refer(t, v, ref)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %q, %v", ref, clipped(got), err)
		}
	}
}

func clipped(s string) string { return s[:min(len(s), 40)] }

func TestCommandDoesNotInheritTheMasterPassword(t *testing.T) {
	v, _ := newVault(t, newClock())
	t.Setenv("AV_MASTER_PASSWORD", "hunter2")
	t.Setenv("AV_TEST_OTHER", "inherited")
	got, err := refer(t, v, `exec:echo "${AV_MASTER_PASSWORD-none} $AV_TEST_OTHER"`)
	if err != nil || got != "none inherited" {
		t.Fatalf("%q, %v", got, err)
	}
}

// What a command leaves running would hold its output, and whoever waits for it.
func TestCommandDiesWithItsChildren(t *testing.T) {
	v, _ := newVault(t, newClock())
	dir := t.TempDir()
	pid := filepath.Join(dir, "pid")
	if _, err := refer(t, v, "exec:sleep 1000 & echo $! > '"+pid+"'; echo s3cret"); err == nil || !strings.Contains(err.Error(), "left a process behind") {
		t.Fatalf("got %v", err)
	}
	var child int
	if _, err := fmt.Sscan(string(readFile(t, pid)), &child); err != nil {
		t.Fatal(err)
	}
	waitForEnd(t, child)
}

func waitForEnd(t testing.TB, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the child lives on")
		}
	}
}

// alive tells whether a process runs; one that waits to be buried does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !errors.Is(err, fs.ErrNotExist)
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(state, []byte("Z"))
}

// A hundred requests at once shall not start a hundred programs.
func TestCommandRunsOnceForAllWhoWait(t *testing.T) {
	c := newClock()
	v, _ := newVault(t, c)
	count := filepath.Join(t.TempDir(), "count")
	ran := func() int { return bytes.Count(readFile(t, count), []byte("x")) }
	ref, err := vault.ParseReference("exec:printf x >> '" + count + "'; sleep 0.2; echo s3cret")
	if err != nil {
		t.Fatal(err)
	}
	ref.Keep = time.Minute
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Reference: ref}); err != nil {
		t.Fatal(err)
	}
	session := use(t, v, "A")
	get := func() {
		if value, err := session.Credential(t.Context(), "A", "a.test"); err != nil || string(value.Open()) != "s3cret" {
			t.Errorf("%v", err)
		}
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(get)
	}
	wg.Wait()
	if n := ran(); n != 1 {
		t.Fatalf("it ran %d times", n)
	}
	c.advance(59 * time.Second)
	if get(); ran() != 1 {
		t.Fatal("it ran again within its time")
	}
	c.advance(time.Second)
	if get(); ran() != 2 {
		t.Fatal("it did not run again after its time")
	}
	// Set again, it is fetched again, even if it is the same.
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Reference: ref}); err != nil {
		t.Fatal(err)
	}
	if get(); ran() != 3 {
		t.Fatal("it was not forgotten")
	}
}

func TestFailedCommandIsNotRunForEachRequest(t *testing.T) {
	c := newClock()
	v, _ := newVault(t, c)
	count := filepath.Join(t.TempDir(), "count")
	_, first := refer(t, v, "exec:printf x >> '"+count+"'; exit 1")
	_, second := v.Reveal(t.Context(), owner, "A")
	if first == nil || second == nil || len(readFile(t, count)) != 1 {
		t.Fatalf("%v, %v", first, second)
	}
	c.advance(2 * time.Second)
	if _, err := v.Reveal(t.Context(), owner, "A"); err == nil || len(readFile(t, count)) != 2 {
		t.Fatalf("got %v", err)
	}
}

func TestClosingTheVaultEndsACommand(t *testing.T) {
	_, o := newVault(t, newClock())
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	started := filepath.Join(t.TempDir(), "started")
	done := make(chan error)
	go func() {
		_, err := refer(t, v, "exec:sleep 1000 & echo $! > '"+started+"'; wait")
		done <- err
	}()
	var child int
	for child == 0 {
		b, _ := os.ReadFile(started)
		_, _ = fmt.Sscanln(string(b), &child)
		time.Sleep(time.Millisecond)
	}
	if !alive(child) {
		t.Fatal("there is nothing to end")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Fatal("it gave a value")
	}
	waitForEnd(t, child)
}

func TestWhatAReferenceGaveIsNeverStored(t *testing.T) {
	_, o := newVault(t, newClock())
	const fetched, target = "fetched-s3cret", "SOME_VARIABLE_NAME"
	v := withEnv(t, o, map[string]string{target: fetched})
	if got, err := refer(t, v, "env:"+target); err != nil || got != fetched {
		t.Fatalf("%q, %v", got, err)
	}
	session := use(t, v, "A")
	value, err := session.Credential(t.Context(), "A", "a.test")
	if err != nil {
		t.Fatal(err)
	}
	v.Record(vault.Entry{Session: session.ID(), Run: "r", Reason: fmt.Sprint(value)})
	set(t, v, "CONTROL", "x")
	look := func() {
		t.Helper()
		found := false
		err := filepath.WalkDir(o.Home, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content := readFile(t, path)
			// Nor is what is fetched: a command line may have a secret in it.
			for _, secret := range []string{fetched, target} {
				if bytes.Contains(content, []byte(secret)) {
					t.Errorf("%s holds %s", path, secret)
				}
			}
			found = found || bytes.Contains(content, []byte("CONTROL"))
			return nil
		})
		if err != nil || !found {
			t.Fatalf("the search finds nothing, not even what is there: %v", err)
		}
	}
	look()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	look()
}
