package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/require"
	"github.com/av-project/av/vault"
)

// built builds av as it is shipped, once for all tests: the gate's container runs the
// same file, and needs it without cgo.
var built = sync.OnceValues(func() (dir string, err error) {
	if dir := os.Getenv("AV_TEST_BUILT"); dir != "" {
		return dir, nil // this test was run by one that has built it
	}
	dir, err = os.MkdirTemp("", "av-built-")
	if err != nil {
		return "", err
	}
	// Some tests run it as somebody else.
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "av"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build av: %w: %s", err, out)
	}
	return dir, nil
})

// TestBox runs the scripts that need a Docker engine, with av as it is shipped.
func TestBox(t *testing.T) {
	require.Root(t)
	require.Docker(t)
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/box",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("AV_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			return os.MkdirAll(filepath.Join(e.WorkDir, "project"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"nothing-left": nothingLeft, "code": exitsWith},
	})
}

// nothingLeft fails the script when the engine, the host or the home still has
// something of the script's runs.
func nothingLeft(ts *testscript.TestScript, _ bool, _ []string) {
	home := ts.Getenv("AV_HOME")
	if left := leftOf(home); left != "" {
		ts.Fatalf("left behind:\n%s", left)
	}
}

// leftOf lists what runs of a home have left.
func leftOf(home string) string {
	owner, err := os.ReadFile(filepath.Join(home, "owner"))
	if errors.Is(err, os.ErrNotExist) {
		return "" // no run has come so far
	}
	if err != nil {
		return err.Error()
	}
	name, _, _ := strings.Cut(string(owner), " ")
	var left strings.Builder
	for _, list := range [][]string{
		{"docker", "ps", "-aq", "--filter", "label=av.owner=" + name},
		{"docker", "network", "ls", "-q", "--filter", "label=av.owner=" + name},
	} {
		out, err := exec.Command(list[0], list[1:]...).CombinedOutput()
		if len(out) > 0 || err != nil {
			fmt.Fprintf(&left, "%s: %s %v\n", strings.Join(list, " "), out, err)
		}
	}
	for _, save := range []string{"iptables-save", "ip6tables-save"} {
		rules, err := exec.Command(save).Output()
		if err != nil {
			fmt.Fprintf(&left, "%s: %v\n", save, err)
		}
		for line := range strings.Lines(string(rules)) {
			if strings.Contains(line, name) {
				left.WriteString(line)
			}
		}
	}
	runs, err := os.ReadDir(filepath.Join(home, "runs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(&left, err)
	}
	for _, r := range runs {
		fmt.Fprintln(&left, "run folder", r.Name())
	}
	return left.String()
}

// exitsWith runs a command and wants this exit code: `code 125 av run …`.
func exitsWith(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// home makes a vault for a test, and gives the environment in which av uses it.
func home(t testing.TB) (dir string, env []string, av string) {
	t.Helper()
	require.Root(t)
	require.Docker(t)
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "home")
	t.Cleanup(func() { emptyHome(dir) })
	// What a test appends is its own, also beside others that share these.
	env = slices.Clip(append(os.Environ(), "AV_HOME="+dir))
	av = filepath.Join(bin, "av")
	init := exec.Command(av, "init", "--no-password")
	init.Env = env
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("av init: %v: %s", err, out)
	}
	return dir, env, av
}

// emptyHome removes a home in which the watchdog of a run that the test has killed may be at
// work still. What it cannot remove, t.TempDir complains of.
func emptyHome(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for os.RemoveAll(dir) != nil && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
}

// withRelay chooses how the runs of an environment are joined to av.
func withRelay(env []string, relay string) []string {
	return append(slices.Clone(env), relayVariable+"="+relay)
}

// until asks again and again until something outside of this process is so.
func until(t *testing.T, what string, limit time.Duration, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s", limit, what)
		case <-tick.C:
		}
	}
}

// running is a run that is under way.
type running struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *syncBuffer
}

// begin starts av in a folder of its own, and kills it at the end of the test.
func begin(t *testing.T, av string, env []string, args ...string) running {
	t.Helper()
	return beginIn(t, t.TempDir(), av, env, args...)
}

func beginIn(t *testing.T, dir, av string, env []string, args ...string) running {
	t.Helper()
	r := running{cmd: exec.Command(av, args...), out: &syncBuffer{}}
	r.cmd.Env, r.cmd.Dir = env, dir
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	return r
}

// start starts a run whose script says "ready", and returns when it has.
func start(t *testing.T, av string, env []string, script string) running {
	t.Helper()
	return startIn(t, t.TempDir(), av, env, script)
}

func startIn(t *testing.T, dir, av string, env []string, script string) running {
	t.Helper()
	r := beginIn(t, dir, av, env, "run", "--isolation=container", "--", "bash", "-c", script)
	until(t, "the box", 3*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready") })
	return r
}

// kill ends the run's process as kill -9 does.
func (r running) kill(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = r.cmd.Wait()
}

// killWatchdog ends the watchdog first, as the death of a whole session would.
func (r running) killWatchdog(t *testing.T) {
	t.Helper()
	pid := r.cmd.Process.Pid
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, path := range threads {
		children, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range strings.Fields(string(children)) {
			number, err := strconv.Atoi(child)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(number, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			killed++
		}
	}
	if killed == 0 {
		t.Fatal("the run has no watchdog")
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func TestKilledRunIsTakenApartByItsWatchdog(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	r := start(t, av, env, "echo ready; sleep 1000")
	if leftOf(dir) == "" {
		t.Fatal("nothing of the live run was found: the test is blind")
	}
	r.kill(t)
	until(t, "nothing to be left of the killed run", time.Minute, func() bool { return leftOf(dir) == "" })
}

// Requests that the killed process had under way are carried out by the engine after
// it has died: what they make must go too.
func TestRunKilledWhileItStartsLeavesNothing(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	for _, after := range []time.Duration{3, 6, 9, 12, 15, 20, 35, 50, 65, 80, 100, 150, 250, 400} {
		cmd := exec.Command(av, "run", "--isolation=container", "--", "sleep", "1000")
		cmd.Env, cmd.Dir = env, t.TempDir()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(after * time.Millisecond) // a moment of the start; any will do
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	// Not "nothing is left for a moment", but nothing that stays: the watchdogs go when
	// nothing more comes.
	until(t, "the watchdogs to have gone", 2*time.Minute, func() bool {
		out, _ := exec.Command("pgrep", "-f", "^av watchdog").Output()
		for pid := range strings.Lines(string(out)) {
			environ, _ := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/environ")
			if strings.Contains(string(environ), dir) {
				return false
			}
		}
		return true
	})
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// A container that somebody makes of a committed agent inherits its labels.
func TestPruneSparesWhatOnlyInheritedOurLabels(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	r := start(t, av, env, "echo ready; read")
	owner, err := netiso.KnownOwner(dir)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := exec.Command("docker", "ps", "--filter", "label=av.owner="+owner, "--filter", "name=-agent$", "--format", "{{.Names}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSpace(string(agent))
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
			t.Fatalf("docker %v: %v: %s", args, err, out)
		}
	}
	mine := "of-" + name
	run("commit", "--change", "LABEL av.image=", name, mine) // no test is to take it for av's own image
	defer exec.Command("docker", "rmi", mine).Run()
	run("create", "--name", mine, mine, "true")
	defer exec.Command("docker", "rm", mine).Run()
	if _, err := io.WriteString(r.stdin, "\n"); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	prune := exec.Command(av, "prune")
	prune.Env = env
	if out, err := prune.Output(); err != nil || len(out) != 0 {
		t.Errorf("prune: %v: %s", err, out)
	}
	run("inspect", mine)
}

func TestDeadRunsSessionEndsWithIt(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	runOf := func() string {
		t.Helper()
		runs, err := os.ReadDir(filepath.Join(dir, "runs"))
		if err != nil || len(runs) != 1 {
			t.Fatalf("runs: %v, %v", runs, err)
		}
		return runs[0].Name()
	}
	stillOpen := func(run string) int {
		t.Helper()
		v, err := vault.Open(t.Context(), vault.Options{Home: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		n, err := v.EndRun(t.Context(), vault.Owner(), run)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	r := start(t, av, env, "echo ready; sleep 1000")
	watched := runOf()
	r.kill(t)
	until(t, "nothing to be left", time.Minute, func() bool { return leftOf(dir) == "" })
	if n := stillOpen(watched); n != 0 {
		t.Errorf("the killed run's session was still open")
	}
	// Control: without its watchdog the session stays, and can be seen.
	r = start(t, av, env, "echo ready; sleep 1000")
	unwatched := runOf()
	r.killWatchdog(t)
	r.kill(t)
	if n := stillOpen(unwatched); n != 1 {
		t.Errorf("control: %d sessions of the unwatched run were open, want 1", n)
	}
	prune := exec.Command(av, "prune")
	prune.Env = env
	if out, err := prune.CombinedOutput(); err != nil {
		t.Errorf("prune: %v: %s", err, out)
	}
}

func TestPruneClearsTheDeadAndSparesTheLiving(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	env = withRelay(env, "bridge") // which has the most to clear
	prune := func() string {
		t.Helper()
		cmd := exec.Command(av, "prune")
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("av prune: %v", err)
		}
		return string(out)
	}
	live := start(t, av, env, "echo ready; read; echo survived")
	dead := start(t, av, env, "echo ready; sleep 1000")
	if got := prune(); got != "" {
		t.Errorf("with both alive, prune removed %q", got)
	}
	dead.killWatchdog(t)
	dead.kill(t)
	got := prune()
	for _, kind := range []string{"container", "network", "host rules", "run folder"} {
		if !strings.Contains(got, "removed "+kind+" ") {
			t.Errorf("prune removed no %s of the dead run:\n%s", kind, got)
		}
	}
	if got := prune(); got != "" {
		t.Errorf("a second prune removed %q", got)
	}
	if _, err := io.WriteString(live.stdin, "go on\n"); err != nil {
		t.Fatal(err)
	}
	if err := live.cmd.Wait(); err != nil || !strings.Contains(live.out.String(), "survived") {
		t.Errorf("the live run: %v, %s", err, live.out)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestSignalsReachTheCommandAndItsExitCodeComesBack(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	for _, c := range []struct {
		name, script string
		signal       syscall.Signal
		want         int
	}{
		{"a command that handles it", "trap 'echo got it; exit 42' TERM; echo ready; while :; do sleep 0.1; done", syscall.SIGTERM, 42},
		{"a command that does not", "echo ready; exec sleep 1000", syscall.SIGTERM, 128 + int(syscall.SIGTERM)},
		{"SIGINT", "echo ready; exec sleep 1000", syscall.SIGINT, 128 + int(syscall.SIGINT)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, av, env, c.script)
			if err := r.cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			err := r.cmd.Wait()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != c.want {
				t.Errorf("got %v, want %d\n%s", err, c.want, r.out)
			}
			if left := leftOf(dir); left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

func TestCommandThatIgnoresSignalsIsKilledAtTheThird(t *testing.T) {
	_, env, av := home(t)
	r := start(t, av, env, "trap 'echo no' TERM; echo ready; while :; do sleep 0.1; done")
	for want := 1; want <= 2; want++ {
		if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		until(t, "the command's answer", time.Minute, func() bool { return strings.Count(r.out.String(), "no\n") == want })
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, ok := errors.AsType[*exec.ExitError](r.cmd.Wait()); !ok || exit.ExitCode() != 128+int(syscall.SIGKILL) {
		t.Errorf("got %v", r.cmd.ProcessState)
	}
}

func TestTerminalIsTheCommandsOwn(t *testing.T) {
	dir, env, av := home(t)
	cmd := exec.Command(av, "run", "--isolation=container", "--", "bash", "-c",
		`tty; echo TERM=$TERM; until [ "$(stty size)" = "41 87" ]; do sleep 0.1; done; echo ready; read line; echo got:$line; `+
			`until [ "$(stty size)" = "30 100" ]; do sleep 0.1; done; echo resized; sleep 1000`)
	cmd.Env, cmd.Dir = append(env, "TERM=xterm-256color"), t.TempDir()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 41, Cols: 87})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer cmd.Process.Kill()
	var screen syncBuffer
	copied := make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(&screen, terminal) }()
	see := func(words string) {
		t.Helper()
		until(t, fmt.Sprintf("%q on the screen", words), 3*time.Minute, func() bool { return strings.Contains(screen.String(), words) })
	}
	see("ready")
	for _, words := range []string{"/dev/pts/0", "TERM=xterm-256color"} {
		see(words)
	}
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(terminal, "hello\r"); err != nil {
		t.Fatal(err)
	}
	see("got:hello")
	see("resized") // the new size travels beside the keys, and may come after them
	// Ctrl-C is a key for the command, as any other: bash's child gets the signal.
	if _, err := io.WriteString(terminal, "\x03"); err != nil {
		t.Fatal(err)
	}
	if exit, ok := errors.AsType[*exec.ExitError](cmd.Wait()); !ok || exit.ExitCode() != 128+int(syscall.SIGINT) {
		t.Errorf("got %v\n%s", cmd.ProcessState, screen.String())
	}
	<-copied
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestUserWhoMayNotUseDockerIsToldSo(t *testing.T) {
	_, _, av := home(t)
	const nobody = 65534
	// t.TempDir lies in folders that only root may enter.
	dir, err := os.MkdirTemp("", "av-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"home", "project"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, name), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) (string, error) {
		cmd := exec.Command(av, args...)
		cmd.Env = append(os.Environ(), "AV_HOME="+filepath.Join(dir, "home"), "HOME="+dir)
		cmd.Dir = filepath.Join(dir, "project")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := as("init", "--no-password"); err != nil {
		t.Fatalf("av init: %v: %s", err, out)
	}
	if out, err := as("run", "--", "cat", "/proc/self/stat"); err != nil {
		t.Fatalf("a host run: %v: %s", err, out)
	}
	if out, err := as("run", "--", "sh", "-c", "cat /proc/$PPID/environ"); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("the environment that av was started with can be read by its command: %v: %s", err, out)
	}
	out, err := as("run", "--isolation=container", "--", "true")
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 125 ||
		!strings.Contains(out, "av: error: no permission to use the Docker daemon") || !strings.Contains(out, "av: hint: run av as a user of the docker group") {
		t.Errorf("got %v: %s", err, out)
	}
}
