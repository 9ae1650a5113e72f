package require

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestANeedThatIsMetLetsTheTestRun(t *testing.T) {
	for _, required := range []string{"", "docker", "docker,root,net"} {
		if fail, message := judge(docker, "", required); fail || message != "" {
			t.Errorf("AV_REQUIRE=%q: fail %v, %q", required, fail, message)
		}
	}
}

func TestANeedThatIsNotMetSkipsByNameUnlessRequired(t *testing.T) {
	for _, c := range []struct {
		required string
		fail     bool
		message  string
	}{
		{"", false, "needs docker: no daemon"},
		{"root,net", false, "needs docker: no daemon"},
		{"docker", true, "AV_REQUIRE names docker: no daemon"},
		{"root, docker ,net", true, "AV_REQUIRE names docker: no daemon"},
		{"dockerd", true, `AV_REQUIRE names "dockerd"; it knows docker, root, net, clients, npm and engines`},
	} {
		fail, message := judge(docker, "no daemon", c.required)
		if fail != c.fail || message != c.message {
			t.Errorf("AV_REQUIRE=%q: fail %v, %q; want %v, %q", c.required, fail, message, c.fail, c.message)
		}
	}
}

func TestAMisspelledNeedFailsEvenWhatCouldRun(t *testing.T) {
	if fail, _ := judge(root, "", "rooot"); !fail {
		t.Error("AV_REQUIRE=rooot was taken as harmless")
	}
}

// recorder is a test that notes how it ended.
type recorder struct {
	testing.TB
	failed, skipped []any
}

func (r *recorder) Helper()           {}
func (r *recorder) Fatal(args ...any) { r.failed = args }
func (r *recorder) Skip(args ...any)  { r.skipped = args }

func TestRootIsJudgedByTheUserID(t *testing.T) {
	t.Setenv("AV_REQUIRE", "")
	r := &recorder{}
	Root(r)
	if isRoot := os.Geteuid() == 0; isRoot != (r.skipped == nil) {
		t.Errorf("uid %d: skipped with %v", os.Geteuid(), r.skipped)
	}
}

func TestADaemonThatCannotBeAskedIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("AV_REQUIRE", "docker")
	r := &recorder{}
	Docker(r)
	if r.failed == nil || r.skipped != nil {
		t.Errorf("failed %v, skipped %v", r.failed, r.skipped)
	}
}

func TestAClientIsTheFirstOnPathThatServes(t *testing.T) {
	t.Setenv("AV_REQUIRE", "")
	bad, good := t.TempDir(), t.TempDir()
	for dir, script := range map[string]string{bad: "echo why >&2; echo broken >&2; exit 1", good: "exit 0"} {
		if err := os.WriteFile(filepath.Join(dir, "fetcher"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bad+":"+good)
	if path := Client(t, "fetcher"); path != filepath.Join(bad, "fetcher") {
		t.Errorf("without a probe: %s", path)
	}
	if path := Client(t, "fetcher", "-c", "import x"); path != filepath.Join(good, "fetcher") {
		t.Errorf("with a probe: %s", path)
	}
	for program, want := range map[string]string{"fetcher": "broken", "absent": "no absent on PATH"} {
		t.Setenv("PATH", bad)
		if _, reason := probeClient(t.Context(), program, []string{"-V"}); !strings.Contains(reason, want) {
			t.Errorf("%s: %q", program, reason)
		}
	}
	r := &recorder{TB: t}
	Client(r, "absent")
	if r.skipped == nil || r.failed != nil {
		t.Errorf("skipped with %v, failed with %v", r.skipped, r.failed)
	}
	t.Setenv("AV_REQUIRE", "clients")
	r = &recorder{TB: t}
	Client(r, "absent")
	if r.failed == nil {
		t.Error("AV_REQUIRE=clients lets a missing client pass")
	}
}
