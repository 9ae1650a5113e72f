package require

import (
	"os"
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
		{"dockerd", true, `AV_REQUIRE names "dockerd"; it knows docker, root and net`},
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
