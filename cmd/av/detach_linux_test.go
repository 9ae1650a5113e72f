package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// detached starts a run in the background, without a terminal, and gives its id.
func detached(t *testing.T, av string, env []string, script string, flags ...string) (run string) {
	t.Helper()
	args := append(append([]string{"run", "-d", "--isolation=container"}, flags...), "--", "sh", "-c", script)
	cmd := exec.Command(av, args...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("av run -d: %v: %s", err, &complaints)
	}
	run = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		stop := exec.Command(av, "stop", "--timeout", "0s", run)
		stop.Env = env
		_ = stop.Run() // it has ended, most likely
	})
	return run
}

// exits runs av, and gives its exit code and all that it printed.
func exits(t *testing.T, av string, env []string, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(av, args...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	text, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(text)
}

// screen is a terminal on which av runs.
type screen struct {
	cmd      *exec.Cmd
	keyboard *os.File
	tty      *os.File // held, so that the terminal outlives the command
	shown    syncBuffer
	before   unix.Termios
}

func onScreen(t *testing.T, av string, env []string, args ...string) *screen {
	t.Helper()
	s := &screen{cmd: exec.Command(av, args...)}
	s.cmd.Env, s.cmd.Dir = append(env, "TERM=xterm-kitty", "COLORTERM=truecolor", "LANG=de_DE.UTF-8", "LC_ALL="), t.TempDir()
	var err error
	if s.keyboard, s.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(s.keyboard, &pty.Winsize{Rows: 41, Cols: 87}); err != nil {
		t.Fatal(err)
	}
	s.before = s.state(t)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	copied := make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(&s.shown, s.keyboard) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		_ = s.tty.Close()
		_ = s.keyboard.Close()
		<-copied
	})
	return s
}

func (s *screen) state(t *testing.T) unix.Termios {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *state
}

func (s *screen) see(t *testing.T, words string) {
	t.Helper()
	until(t, fmt.Sprintf("%q on the screen", words), 3*time.Minute, func() bool { return strings.Contains(s.shown.String(), words) })
}

func (s *screen) typing(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(s.keyboard, keys); err != nil {
		t.Fatal(err)
	}
}

// ends waits for av, and wants the terminal to be as it was.
func (s *screen) ends(t *testing.T, code int) {
	t.Helper()
	_ = s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d:\n%s", got, code, s.shown.String())
	}
	if s.state(t) != s.before {
		t.Errorf("the terminal is not as it was:\n%+v\n%+v", s.before, s.state(t))
	}
}

func TestDetachedRunIsAttachedToAndLeftAndEndsWithItsCode(t *testing.T) {
	dir, env, av := home(t)
	s := onScreen(t, av, env, "run", "--detachable", "--isolation=container", "--", "bash", "-c",
		`echo $TERM $COLORTERM $LANG; until [ "$(stty size)" = "41 87" ]; do sleep 0.1; done; echo ready; read line; echo got:$line; `+
			`until [ "$(stty size)" = "30 100" ]; do sleep 0.1; done; echo resized; read line; exit 42`)
	s.see(t, "ready")
	s.see(t, "xterm-256color truecolor C.UTF-8")
	s.typing(t, "\x10\x11") // ctrl-p ctrl-q
	s.ends(t, 0)
	s.see(t, "which goes on")
	live := alive(t, av, env)
	if len(live) != 1 || !live[0].Detached || live[0].State != "running" {
		t.Fatalf("alive: %+v", live)
	}
	run := live[0].Run
	s = onScreen(t, av, env, "attach", run[:6])
	s.see(t, "ready") // it is shown again
	if code, out := exits(t, av, env, "attach", run); code != 125 || !strings.Contains(out, "--take") {
		t.Errorf("a second one: %d %s", code, out)
	}
	s.typing(t, "hello\r")
	s.see(t, "got:hello")
	if err := pty.Setsize(s.keyboard, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	s.see(t, "resized")
	if code, out := exits(t, av, env, "attach", "--tail", run); code != 0 || !strings.Contains(out, "resized\n") {
		t.Errorf("the tail: %d %q", code, out)
	}
	s.typing(t, "\r")
	s.ends(t, 42)
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestDetachedStartThatFailsIsToldToWhoeverTypedIt(t *testing.T) {
	dir, env, av := home(t)
	for _, c := range []struct {
		code int
		say  string
		args []string
	}{
		{127, `no command "clade"`, []string{"--", "clade"}},
		{126, "may not be run", []string{"--", "/etc/passwd"}},
		{125, "cannot be pulled", []string{"--image", "127.0.0.1:1/nobody/nothing", "--", "true"}},
		{125, "host-walls", []string{"--host-walls=none", "--", "true"}},
	} {
		code, out := exits(t, av, env, append([]string{"run", "-d", "--isolation=container"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.say) || !strings.Contains(out, "av: hint: ") {
			t.Errorf("%v: %d %s", c.args, code, out)
		}
	}
	if code, out := exits(t, av, env, "run", "-d", "--isolation=host", "--", "true"); code != 125 || !strings.Contains(out, "cannot be detached") {
		t.Errorf("on the host: %d %s", code, out)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestStopAsksThenKillsAndWaitsUntilAllIsGone(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	polite := detached(t, av, env, "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
	attached := exec.Command(av, "attach", polite)
	attached.Env = env
	var seen syncBuffer
	attached.Stdout, attached.Stderr = &seen, &seen
	if err := attached.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the output to be shown", time.Minute, func() bool { return strings.Contains(seen.String(), "ready") })
	if code, out := exits(t, av, env, "stop", "--timeout", "1m", polite[:7]); code != 0 {
		t.Errorf("av stop: %d %s", code, out)
	}
	_ = attached.Wait()
	if attached.ProcessState.ExitCode() != 3 || !strings.Contains(seen.String(), "asked") {
		t.Errorf("the one attached: %v %s", attached.ProcessState, seen.String())
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind by one that was asked: %s", left)
	}
	deaf := detached(t, av, env, "trap 'echo no' TERM; echo ready; while :; do sleep 0.1; done")
	foreground := start(t, av, env, "echo ready; sleep 1000")
	if code, out := exits(t, av, env, "stop", "--timeout", "1s", "--all"); code != 0 {
		t.Errorf("av stop --all: %d %s", code, out)
	}
	if err := foreground.cmd.Wait(); err == nil {
		t.Error("the one in the foreground was not stopped")
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind by %s, which was killed: %s", deaf, left)
	}
	if code, _ := exits(t, av, env, "stop", deaf); code != 125 {
		t.Errorf("one that is not there: %d", code)
	}
}

func TestKilledBackgroundProcessIsCleanedUpByItsWatchdog(t *testing.T) {
	dir, env, av := home(t)
	run := detached(t, av, env, "sleep 1000")
	if leftOf(dir) == "" {
		t.Fatal("nothing of the live run was found: the test is blind")
	}
	killHolder(t, filepath.Join(dir, "runs", run, "lock"))
	until(t, "nothing to be left of the killed run", time.Minute, func() bool { return leftOf(dir) == "" })
}

// killHolder kills the process that holds a lock, as kill -9 does.
func killHolder(t *testing.T, lock string) {
	t.Helper()
	info, err := os.Stat(lock)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	inode := strconv.FormatUint(info.Sys().(*syscall.Stat_t).Ino, 10)
	for line := range strings.Lines(string(locks)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[3] != "WRITE" || !strings.HasSuffix(fields[5], ":"+inode) {
			continue
		}
		pid, err := strconv.Atoi(fields[4])
		if err != nil || pid <= 1 {
			t.Fatalf("%s: %v", line, err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("nobody holds %s", lock)
}

// The password is nowhere but in the two processes' memory.
func TestDetachedRunUnlocksTheVaultWithWhatWasTyped(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	avOutput(t, av, env, "vault", "password", "set", "--new-password-file", password)
	if code, out := exits(t, av, append(env, "AV_MASTER_PASSWORD=wrong"), "run", "-d", "--isolation=container", "--", "true"); code != 125 || !strings.Contains(out, "wrong master password") {
		t.Errorf("a wrong one: %d %s", code, out)
	}
	run := detached(t, av, append(env, "AV_MASTER_PASSWORD=correct horse"), "env; sleep 1000")
	found := 0
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		line, _ := os.ReadFile(p + "/cmdline")
		environ, _ := os.ReadFile(p + "/environ")
		if bytes.HasPrefix(line, []byte("av\x00background\x00")) {
			found++
		}
		if bytes.HasPrefix(line, []byte("av\x00")) && bytes.Contains(append(line, environ...), []byte("correct horse")) {
			t.Errorf("the password can be read in %s: %q", p, line)
		}
	}
	if found == 0 {
		t.Error("no background process was found: the test is blind")
	}
	if code, out := exits(t, av, env, "attach", "--tail", run); code != 0 || strings.Contains(out, "horse") {
		t.Errorf("%d %s", code, out)
	}
}

func TestTerminalIsAsItWasAfterAnyEnd(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	for name, end := range map[string]struct {
		script string
		act    func(*testing.T, *screen)
		code   int
	}{
		"SIGTERM":                 {"echo ready; exec sleep 1000", func(t *testing.T, s *screen) { signalled(t, s, syscall.SIGTERM) }, 143},
		"the container is killed": {"echo ready; exec sleep 1000", func(t *testing.T, s *screen) { killContainer(t, dir, "-agent$") }, 137},
		"the gate is killed":      {"echo ready; exec sleep 1000", func(t *testing.T, s *screen) { killContainer(t, dir, "-gate$") }, 125},
	} {
		t.Run(name, func(t *testing.T) {
			s := onScreen(t, av, env, "run", "--isolation=container", "--", "sh", "-c", end.script)
			s.see(t, "ready")
			if s.state(t) == s.before {
				t.Error("the terminal was not taken over: the test is blind")
			}
			end.act(t, s)
			s.ends(t, end.code)
		})
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func signalled(t *testing.T, s *screen, number syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(number); err != nil {
		t.Fatal(err)
	}
}

func killContainer(t *testing.T, dir, name string) {
	t.Helper()
	owner, err := os.ReadFile(filepath.Join(dir, "owner"))
	if err != nil {
		t.Fatal(err)
	}
	label, _, _ := strings.Cut(string(owner), " ")
	ids, err := exec.Command("docker", "ps", "-q", "--filter", "label=av.owner="+label, "--filter", "name="+name).Output()
	if err != nil || len(bytes.Fields(ids)) != 1 {
		t.Fatalf("containers: %q, %v", ids, err)
	}
	if out, err := exec.Command("docker", "kill", strings.TrimSpace(string(ids))).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A shell that controls jobs stands between, as it does for people: only then does the
// kernel stop anybody.
func TestStoppedRunGivesTheTerminalBackAndTakesItAgain(t *testing.T) {
	_, env, av := home(t)
	s := onScreen(t, "/bin/bash", env, "--norc", "--noprofile", "-i")
	s.typing(t, av+` run --quiet --isolation=container -- sh -c 'echo rea""dy; read line; echo got:$line'`+"\r")
	s.see(t, "ready\r\n")
	raw := s.state(t)
	pid := child(t, s.cmd.Process.Pid)
	if err := syscall.Kill(pid, syscall.SIGTSTP); err != nil {
		t.Fatal(err)
	}
	s.see(t, "Stopped")
	// Seen by a process that the shell starts: the shell itself edits its lines in a manner of
	// its own.
	s.typing(t, "stty -a | tr ' ;' '\\n\\n' | grep -cx -e icanon -e echo -e isig | sed s/^/cooked:/\r")
	s.see(t, "cooked:3")
	s.typing(t, "fg\r")
	until(t, "the terminal to be the command's again", time.Minute, func() bool { now := s.state(t); return now.Lflag == raw.Lflag && now.Oflag == raw.Oflag })
	s.typing(t, "hello\r")
	s.see(t, "got:hello")
	s.typing(t, "exit\r")
}

// child is the one process that a shell has started.
func child(t *testing.T, parent int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	pids := strings.Fields(string(text))
	if err != nil || len(pids) != 1 {
		t.Fatalf("children of %d: %q, %v", parent, text, err)
	}
	pid, err := strconv.Atoi(pids[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestOnlyWhoeverHasAShellIsStopped(t *testing.T) {
	const us = 10 // our group
	for name, c := range map[string]struct {
		above []kin // from our parent on
		want  bool
	}{
		"of a shell":               {[]kin{{5, 1, true}}, false},
		"of a script of a shell":   {[]kin{{us, 1, true}, {5, 2, true}}, false},
		"of a terminal's window":   {[]kin{{3, 1, false}}, true},
		"of a script of such":      {[]kin{{us, 1, true}, {3, 2, false}}, true},
		"of somebody who has gone": {nil, true},
	} {
		got := orphaned(0, us, func(pid int) (kin, error) {
			if pid >= len(c.above) {
				return kin{}, os.ErrNotExist
			}
			return c.above[pid], nil
		})
		if got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if orphaned(0, us, func(int) (kin, error) { return kin{us, 0, true}, nil }) != true {
		t.Error("a ring of ancestors has no shell")
	}
}

func TestInterruptedTwiceBeforeTheCommandRunsLeavesNothing(t *testing.T) {
	dir, env, av := home(t)
	warm(t, av, env)
	r := begin(t, av, env, "run", "--isolation=container", "--", "sh", "-c", "echo ready; sleep 1000")
	until(t, "the start", time.Minute, func() bool { return leftOf(dir) != "" })
	for range 2 {
		if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	_ = r.cmd.Wait()
	if code := r.cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d: %s", code, r.out)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestStreamsOfWhichOneIsATerminal(t *testing.T) {
	_, env, av := home(t)
	piped := onScreen(t, "/bin/sh", env, "-c", "echo from a pipe | "+av+` run --quiet --isolation=container -- sh -c 'cat; test -t 1 || echo no terminal'`)
	piped.see(t, "from a pipe")
	piped.see(t, "no terminal")
	piped.ends(t, 0)
	out := onScreen(t, "/bin/sh", env, "-c", av+` run --quiet --isolation=container -- sh -c 'read line; echo got:$line; test -t 0 || echo no terminal' | tr a-z A-Z`)
	out.typing(t, "typed\r")
	out.see(t, "GOT:TYPED")
	out.see(t, "NO TERMINAL")
	out.ends(t, 0)
}

func TestWhatARunPrintsIsWrittenOutInItsTail(t *testing.T) {
	_, env, av := home(t)
	run := detached(t, av, env, `printf '\033]52;c;bm8=\007plain\n'; sleep 1000`)
	var out string
	until(t, "the output", time.Minute, func() bool { _, out = exits(t, av, env, "attach", "--tail", run); return out != "" })
	if out != `\x1b]52;c;bm8=\aplain`+"\n" {
		t.Errorf("got %q", out)
	}
}
