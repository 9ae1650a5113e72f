package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/protect"
	"github.com/av-project/av/runner/workcopy"
)

func TestNamesThatLookLikeASecrets(t *testing.T) {
	for name, want := range map[string]bool{
		"GITHUB_TOKEN": true, "OPENAI_API_KEY": true, "MY_SECRET": true, "PGPASSWORD": true, "DB_PASSWORD_FILE": true, "token": true, "AWS_SECRET_ACCESS_KEY": true,
		"NPM_TOKEN_X": true, "SSH_AUTH_SOCK": true, "MYAPIKEY": true, "AV_MASTER_PASSWORD": true, "SENTRY_DSN": true, "GH_PAT": true,
		"PATH": false, "HOME": false, "MONKEY": false, "KEYBOARD": false, "TOKENIZERS_PARALLELISM": false, "PWD": false, "PATTERN": false, "LANG": false, "AUTHOR": false,
	} {
		if looksSecret(name, "x") != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
	for value, want := range map[string]bool{"postgres://me:pw@db/x": true, "https://example.com": false, "me@example.com": false, "https://me@example.com": false, "": false} {
		if looksSecret("URL", value) != want {
			t.Errorf("%q: %t", value, !want)
		}
	}
}

func TestFoundFilesAreNamedUpToACeiling(t *testing.T) {
	var names []string
	for i := range maxNamed {
		names = append(names, fmt.Sprint("f", i))
	}
	if got := fewOf(names); strings.Contains(got, "more") {
		t.Error(got)
	}
	if got := fewOf(append(names, "x")); !strings.HasSuffix(got, fmt.Sprintf("f%d and 1 more", maxNamed-1)) {
		t.Error(got)
	}
	f := runner.Found{Folder: "/w", Report: protect.Report{Created: []string{".envrc"}, Changed: []string{"a", "b"}, Built: []string{"Makefile"}, Partly: true}}
	for built, want := range map[bool]int{false: 3, true: 4} {
		lines := describeFound(f, "/w", built)
		if len(lines) != want || lines[0] != "warning: 1 file that your tools would execute was created: .envrc" || lines[1] != "warning: 2 files that your tools would execute were changed: a, b" {
			t.Errorf("%q", lines)
		}
	}
	// The repository of a worktree is another folder than the one that we are in.
	if lines := describeFound(f, "/elsewhere", false); !strings.HasSuffix(lines[0], ": /w/.envrc") || !strings.HasSuffix(lines[1], ": /w/a, /w/b") {
		t.Errorf("%q", lines)
	}
}

// An agent that makes more than av looks through hides the rest.
func TestStrictWorkspaceFailsByWhatCouldNotBeLookedAt(t *testing.T) {
	for name, c := range map[string]struct {
		strict bool
		report protect.Report
		want   string
	}{
		"nothing":              {true, protect.Report{}, ""},
		"only what is built":   {true, protect.Report{Built: []string{"Makefile"}}, ""},
		"a file":               {true, protect.Report{Created: []string{".envrc"}, Partly: true}, "1 file that your tools would execute came out"},
		"too much":             {true, protect.Report{Partly: true}, "more in it than could be looked through"},
		"too much, not strict": {false, protect.Report{Created: []string{".envrc"}, Partly: true}, ""},
	} {
		var errs bytes.Buffer
		e := &env{stderr: &errs, stdin: os.Stdin, home: t.TempDir()}
		err := e.foundInWorkspace(t.Context(), workspaceFlags{strict: c.strict}, "0000000a", []runner.Found{{Folder: "/w", Report: c.report}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A run in the background ends while nobody is attached, or a terminal is closed before.
func TestWhatWasFoundIsKeptUntilSomebodyWasTold(t *testing.T) {
	found := []runner.Found{{Folder: "/w", Report: protect.Report{Created: []string{"x\nav: hint: forged\x1b]52;c;x\a", ".envrc"}}}}
	for name, c := range map[string]struct {
		stderr     io.Writer
		background *background
		kept       bool
	}{
		"a terminal":      {&bytes.Buffer{}, nil, false},
		"a closed one":    {closedTerminal{}, nil, true},
		"the background":  {&bytes.Buffer{}, &background{}, true},
		"nothing to tell": {&bytes.Buffer{}, &background{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			list := found
			if name == "nothing to tell" {
				list = nil
			}
			e := &env{stderr: c.stderr, stdin: os.Stdin, home: t.TempDir(), background: c.background}
			if err := e.foundInWorkspace(t.Context(), workspaceFlags{}, "0000000a", list); err != nil {
				t.Fatal(err)
			}
			var errs bytes.Buffer
			later := &env{stderr: &errs, home: e.home}
			later.tellKept()
			if told := strings.Contains(errs.String(), "run 0000000a has ended: warning: 2 files") && strings.Contains(errs.String(), "/w/.envrc"); told != c.kept || strings.Count(errs.String(), "\n") > 1 || strings.Contains(errs.String(), "\x1b") {
				t.Errorf("%q", errs.String())
			}
			errs.Reset()
			later.tellKept()
			if errs.Len() > 0 {
				t.Errorf("once more: %q", errs.String())
			}
		})
	}
}

type closedTerminal struct{}

func (closedTerminal) Write([]byte) (int, error) { return 0, syscall.EIO }

func TestKeptCopyIsNotPrunedUnlessItIsOld(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	from, err := nofollow.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for _, run := range []string{"0000000a", "0000000b"} {
		if _, _, err := workcopy.Take(t.Context(), home, run, dir, "sh", from, os.Getuid(), os.Getgid()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(workcopy.Dir(home), "0000000c", "tree"), 0o700); err != nil {
		t.Fatal(err)
	}
	// That of another av, which this one cannot read, is no less somebody's work.
	other := filepath.Join(workcopy.Dir(home), "0000000d")
	if err := os.MkdirAll(filepath.Join(other, "tree"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "base"), []byte("another format"), 0o600); err != nil {
		t.Fatal(err)
	}
	lease, err := netiso.Hold(home, "0000000b")
	if err != nil {
		t.Fatal(err)
	}
	e := &env{home: home}
	pruned := func(age time.Duration, dry bool) (runs string) {
		t.Helper()
		if err := e.pruneCopies(age, dry, func(l netiso.Leftover) { runs += l.Run + " " }); err != nil {
			t.Fatal(err)
		}
		return runs
	}
	if got := pruned(0, true); got != "0000000c " {
		t.Errorf("would prune %q", got)
	}
	if got := pruned(time.Hour, false); got != "0000000c " {
		t.Errorf("pruned %q", got)
	}
	if got := pruned(time.Nanosecond, false); got != "0000000a 0000000d " {
		t.Errorf("pruned %q: one is alive", got)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if got := pruned(time.Nanosecond, false); got != "0000000b " {
		t.Errorf("pruned %q", got)
	}
}

// A program in the box may not be there, or may not be run: the codes are a shell's.
func TestCommandThatCannotBecomeIsNotFoundOrMayNotBeRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plain"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]exitCode{"no-such": 127, "plain": 126, filepath.Join(dir, "plain"): 126, dir: 126, dir + "/none": 127} {
		if err := become([]string{name}, "/nowhere:"+dir); err != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDiffOnATerminalObeysNothing(t *testing.T) {
	var out bytes.Buffer
	if _, err := (plainText{&out}).Write([]byte("+a\tb\x1b]52;c;x\a\n")); err != nil || out.String() != "+a\tb\\x1b]52;c;x\\a\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
