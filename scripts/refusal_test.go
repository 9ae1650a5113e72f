//go:build linux

package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/av-project/av/scripts/require"
)

// Everything here ends before anything is touched.

func TestSetupWantsGoAndMake(t *testing.T) {
	setupRefuses(t, withPrograms(t, "bash", "uname", "make"),
		"setup: error: no go on PATH", "setup: hint: install Go")
	setupRefuses(t, withPrograms(t, "bash", "uname", "go"),
		"setup: error: no make on PATH", "setup: hint: install make")
}

func TestSetupNamesASystemItCannotHelp(t *testing.T) {
	cmd := withPrograms(t, "bash", "go", "make")
	uname := filepath.Join(filepath.Dir(cmd.Path), "uname")
	if err := os.WriteFile(uname, []byte("#!/bin/bash\necho Darwin\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	setupRefuses(t, cmd, "setup: error: this is Darwin, not Linux", "setup: hint: run it on Debian or Ubuntu")
}

func TestADaemonElsewhereThatDoesNotAnswerIsNotReplaced(t *testing.T) {
	require.Root(t)
	cmd := withPrograms(t, "bash", "uname", "go", "make", "docker", "timeout", "mktemp", "rm", "id", "awk")
	setupRefuses(t, cmd, "setup: error: no daemon answers at tcp://127.0.0.1:1", "setup: hint: start that daemon, or unset DOCKER_HOST")
}

func TestWithoutRootAndSudoSetupSaysWhatToInstall(t *testing.T) {
	require.Root(t) // to become somebody else
	cmd := withPrograms(t, "bash", "uname", "go", "make", "timeout", "mktemp", "rm", "id")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	setupRefuses(t, cmd, "setup: error: this needs root, and there is no sudo",
		"setup: hint: run scripts/setup as root; or install and start Docker Engine 20.10 or newer")
}

func TestSetupInstallsTheClientsWhereTheyMustBe(t *testing.T) {
	require.Root(t)
	for required, want := range map[string]string{
		"docker, clients,net": " curl python3 nodejs python3-requests python3-websockets",
		"docker,net":          "",
		"":                    "",
	} {
		cmd := withPrograms(t, "bash", "uname", "go", "make", "timeout", "mktemp", "rm", "id", "awk", "mkdir", "flock", "sed", "tail", "git", "wget")
		dir := filepath.Dir(cmd.Path)
		// What it asks for cannot be had, so that it goes no further.
		apt := "#!/bin/bash\necho \"$@\" >>" + dir + "/calls\nexit 1\n"
		if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte(apt), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.Env = []string{"PATH=" + dir, "TMPDIR=/tmp", "AV_SETUP_RUN_DIR=" + dir + "/run", "AV_SETUP_DATA_ROOT=" + dir + "/data",
			"AV_SETUP_LOG=" + dir + "/log", "AV_REQUIRE=" + required}
		setupRefuses(t, cmd, "setup: error: cannot install")
		calls, err := os.ReadFile(filepath.Join(dir, "calls"))
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(calls), "\n")
		if !strings.HasSuffix(first, want) || want == "" && strings.Contains(first, "curl") || strings.Contains(first, "wget") {
			t.Errorf("AV_REQUIRE=%s: asked for %s", required, first)
		}
	}
}

// withPrograms returns a run of scripts/setup which finds these programs on its PATH and, but for what lies in
// the sbin folders, no others. Its folder can be entered by any user.
func withPrograms(t *testing.T, names ...string) *exec.Cmd {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "av-setup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("setup")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "setup"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		require.Program(t, name)
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "bash"), filepath.Join(dir, "setup"))
	cmd.Env = []string{"PATH=" + dir, "TMPDIR=/tmp", "DOCKER_HOST=tcp://127.0.0.1:1"}
	return cmd
}

func setupRefuses(t *testing.T, cmd *exec.Cmd, wants ...string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("setup succeeds:\n%s", out)
	}
	for _, want := range wants {
		if !strings.Contains(string(out), want) {
			t.Errorf("setup does not say %q:\n%s", want, out)
		}
	}
}
