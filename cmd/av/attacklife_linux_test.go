package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sync/errgroup"

	"github.com/av-project/av/scripts/fakenet"
)

// The proxy is av itself. What would be left open if it hung or died is looked for while it does: there must be no
// other way out, and none that opens for the time.
func TestBoxWhoseProxyIsGoneHasNoWayOut(t *testing.T) {
	for _, c := range []struct {
		name  string
		gone  func(*testing.T, boxed)
		after func(*testing.T, *attackWorld, boxed)
	}{
		{"hung", func(t *testing.T, b boxed) { b.signal(t, syscall.SIGSTOP) }, goesOn},
		{"killed, with its watchdog", func(t *testing.T, b boxed) { b.killWatchdog(t); b.kill(t) }, prunes},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newAttackWorld(t)
			var all []attack
			for _, a := range attackTable() {
				// Of rights there are no more without a proxy, and a slow machine need not try every port again.
				same := func(b attack) bool { return a.id == b.id && a.try == b.try && a.with == b.with }
				if a.sink != right && !slices.ContainsFunc(all, same) {
					all = append(all, a)
				}
			}
			marks := make([]mark, len(all))
			for i := range all {
				marks[i] = newMark()
			}
			ask := fmt.Sprintf("curl -sS -m %%d https://%s/v1/hello?$(cat %%s); touch %%s\n", fakenet.APIName)
			b := w.begin(t, "touch ready; until [ -e go ]; do sleep 0.1; done\n"+
				w.script(all, marks, 4*time.Second)+fmt.Sprintf(ask, 2, "during", "tried")+
				"until [ -e again ]; do sleep 0.1; done\n"+fmt.Sprintf(ask, 30, "later", "over"))
			during, later := newMarker(), newMarker()
			for name, marker := range map[string]string{"during": during, "later": later} {
				if err := os.WriteFile(filepath.Join(b.cmd.Dir, name), []byte(marker), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			c.gone(t, b)
			b.tell(t, "go")
			b.await(t, "tried")
			w.settle(t)
			for i, a := range all {
				if got := w.got(a, i, marks[i], ""); got != "" {
					t.Errorf("%s, %s with %s: LEAKED, %s\n\t%s", a.id, a.try, a.with, got, a.line)
				}
			}
			if n := len(w.internet.API().Requests(during)); n > 0 {
				t.Errorf("%d requests were carried by a proxy that is gone", n)
			}
			b.tell(t, "again")
			c.after(t, w, b)
			if n := len(w.internet.API().Requests(later)); (n == 1) != (c.name == "hung") {
				t.Errorf("control: afterwards %d requests arrived", n)
			}
		})
	}
}

func (b boxed) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// goesOn lets a proxy that was stopped go on: the box it had shut is the one that now has its answer.
func goesOn(t *testing.T, _ *attackWorld, b boxed) {
	b.signal(t, syscall.SIGCONT)
	b.await(t, "over")
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, b.out)
	}
}

func prunes(t *testing.T, w *attackWorld, _ boxed) {
	home := filepath.Join(w.dir, "home")
	if leftOf(home) == "" {
		t.Error("nothing of the dead run was there: the box was gone before it could try")
	}
	prune := exec.Command(w.av, "prune")
	prune.Env = w.env
	if out, err := prune.CombinedOutput(); err != nil {
		t.Errorf("prune: %v: %s", err, out)
	}
	if left := leftOf(home); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestExitCodesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	var side errgroup.Group
	side.SetLimit(4)
	try := func(script string, want int) {
		workspace := t.TempDir()
		side.Go(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, av, "run", "--isolation=container", "--", "bash", "-c", script)
			cmd.Env, cmd.Dir = env, workspace
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
				t.Errorf("%s: %v, want %d: %s", script, err, want, out)
			}
			return nil
		})
	}
	for _, code := range []int{0, 1, 2, 63, 64, 124, 125, 126, 127, 128, 129, 130, 143, 254, 255} {
		try(fmt.Sprintf("exit %d", code), code)
	}
	for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGHUP} {
		try(fmt.Sprintf("kill -%d $$", s), 128+int(s))
	}
	if err := side.Wait(); err != nil {
		t.Error(err)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestClosedTerminalEndsTheRun(t *testing.T) {
	dir, env, av := home(t)
	cmd := exec.Command(av, "run", "--isolation=container", "--", "bash", "-c", "echo ready; exec sleep 1000")
	cmd.Env, cmd.Dir = append(env, "TERM=xterm"), t.TempDir()
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	// Nobody may be reading when it is closed: the kernel hangs up when the last use of it ends.
	var screen syncBuffer
	ready := make(chan error, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := terminal.Read(buf)
			_, _ = screen.Write(buf[:n])
			if err != nil || strings.Contains(screen.String(), "ready") {
				ready <- err
				return
			}
		}
	}()
	select {
	case err := <-ready:
		if err != nil {
			t.Fatalf("%v: %s", err, screen.String())
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("the box did not start in 3 minutes")
	}
	if leftOf(dir) == "" {
		t.Fatal("nothing of the live run was found: the test is blind")
	}
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(time.Minute):
		t.Fatalf("it goes on without its terminal: %s", screen.String())
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 128+int(syscall.SIGHUP) {
		t.Errorf("got %v\n%s", cmd.ProcessState, screen.String())
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestRunOnAFullDiskFailsCleanly(t *testing.T) {
	_, env, av := home(t)
	dir := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("av-test", dir, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	run := func(args ...string) (string, int) {
		cmd := exec.Command(av, args...)
		cmd.Env, cmd.Dir = append(slices.Clone(env), "AV_HOME="+dir), t.TempDir()
		out, _ := cmd.CombinedOutput() // the exit code is what is asked for
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("init", "--no-password"); code != 0 {
		t.Fatal(out)
	}
	box := []string{"run", "--isolation=container", "--", "true"}
	if out, code := run(box...); code != 0 {
		t.Fatalf("control: with room it runs: %s", out)
	}
	full := filepath.Join(dir, "full")
	fill := exec.Command("sh", "-c", `cat /dev/zero >"$0"`, full)
	if out, err := fill.CombinedOutput(); err == nil || !strings.Contains(string(out), "No space left") {
		t.Fatalf("the disk is not full: %v: %s", err, out)
	}
	if out, code := run(box...); code != 125 || !strings.Contains(out, "av: error: ") || strings.Contains(out, "panic") {
		t.Errorf("exit code %d: %s", code, out)
	} else {
		t.Log(out)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if out, code := run(box...); code != 0 {
		t.Errorf("with room again: %s", out)
	}
}
