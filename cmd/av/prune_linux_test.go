package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/require"
)

func TestAgeOfPruneIsNotShorterThanAStart(t *testing.T) {
	_, env, av := home(t)
	cmd := exec.Command(av, "prune", "--older-than", "1m")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 125 || !complaint.Match(out) {
		t.Errorf("got %v: %s", err, out)
	}
}

// killedHostRun leaves what a run on the host leaves that was killed: it has no watchdog.
func killedHostRun(t *testing.T, av string, env []string) {
	t.Helper()
	cmd := exec.Command(av, "run", "--isolation=host", "--", "sleep", "1000")
	cmd.Env, cmd.Dir = env, t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the run to run", time.Minute, func() bool {
		live := alive(t, av, env)
		return len(live) == 1 && live[0].State == netiso.Running && live[0].Isolation == "host"
	})
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestDeadRunsSessionEndsWithoutThePassword(t *testing.T) {
	require.Root(t)
	require.Docker(t)
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	av, dir := filepath.Join(bin, "av"), filepath.Join(t.TempDir(), "home")
	env := append(os.Environ(), "AV_HOME="+dir)
	knows := append(env, passwordVariable+"=correct horse battery staple")
	init := exec.Command(av, "init")
	init.Env = knows
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("av init: %v: %s", err, out)
	}
	killedHostRun(t, av, knows)
	avOutput(t, av, knows, "session", "create") // of no run: it stays
	shown := avOutput(t, av, env, "prune", "--dry-run")
	if strings.Count(shown, "would remove session ") != 1 || strings.Count(shown, "would remove run folder ") != 1 {
		t.Errorf("a dry run said %q", shown)
	}
	if got := avOutput(t, av, env, "prune", "--json"); strings.Count(got, `"kind":"session"`) != 1 || strings.Count(got, `"removed":true`) != 2 {
		t.Errorf("prune said %q", got)
	}
	if got := avOutput(t, av, env, "prune"); got != "" {
		t.Errorf("a second prune said %q", got)
	}
	var open []struct{ Run string }
	if err := json.Unmarshal([]byte(avOutput(t, av, knows, "session", "list", "--json")), &open); err != nil || len(open) != 1 || open[0].Run != "" {
		t.Errorf("open are %v, %v", open, err)
	}
}

func TestVaultThatCannotBeOpenedKeepsNothingElse(t *testing.T) {
	dir, env, av := home(t)
	killedHostRun(t, av, env)
	for _, file := range []string{"vault.db-wal", "vault.db-shm"} {
		_ = os.Remove(filepath.Join(dir, file)) // may not be there
	}
	if err := os.WriteFile(filepath.Join(dir, "vault.db"), []byte("no vault at all, but long enough to be looked at"), 0o600); err != nil {
		t.Fatal(err)
	}
	prune := exec.Command(av, "prune")
	prune.Env = env
	var out, complaints bytes.Buffer
	prune.Stdout, prune.Stderr = &out, &complaints
	if err := prune.Run(); err != nil {
		t.Errorf("%v: %s", err, &complaints)
	}
	if !strings.Contains(out.String(), "removed run folder ") || !strings.Contains(complaints.String(), "av: sessions of dead runs are left as they are: ") {
		t.Errorf("got %q and %q", &out, &complaints)
	}
}
