package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary av, too: scripts run it as a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"av": main})
}

// TestScripts runs the scripts that need nothing but av.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refused": refused,
		},
		RequireExplicitExec: true,
	})
}

// setupScript gives each script a home of its own, with no vault in it.
func setupScript(e *testscript.Env) error {
	home := filepath.Join(e.WorkDir, "user")
	e.Setenv("HOME", home)
	e.Setenv("AV_HOME", filepath.Join(home, ".av"))
	return os.Mkdir(home, 0o700)
}

// complaint is how av says, in the end, that it did not do what it was asked: one
// line with what failed, one with what to do.
var complaint = regexp.MustCompile(`(?m)^av: error: [^A-Z\n].*[^.\n]\nav: hint: .*[^.\n]\n\z`)

// refused runs a command that av itself must refuse: exit code 125, a complaint on
// stderr, and nothing on stdout: `refused av credential delete NONE`.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: refused av ARG...")
	}
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		ts.Fatalf("%v, want exit code %d", err, exitFailed)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("data on stdout: %q", out)
	}
	if text := ts.ReadFile("stderr"); !complaint.MatchString(text) {
		ts.Fatalf("not an error and a hint: %q", text)
	}
}
