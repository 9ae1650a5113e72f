package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner/console"
)

// lent is a detached run without a box, for what is between it and who attaches. Its command
// has a terminal, and prints what is written to the console.
func lent(t *testing.T) (c *console.Console, env []string, av, run string) {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "home")
	run = netiso.NewRun("a test").ID
	lease, err := netiso.Hold(dir, run)
	if err != nil {
		t.Fatal(err)
	}
	lease.Tell(func(n *netiso.Note) { n.State = netiso.Running })
	c, err = console.New(console.Options{Signals: make(chan os.Signal, 1), Detached: true, TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	stop, err := c.Listen(run, lease.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close(0)
		if err := stop(); err != nil {
			t.Error(err)
		}
		_ = lease.Release()
	})
	return c, append(os.Environ(), "AV_HOME="+dir), filepath.Join(bin, "av"), run
}

// `av attach RUN | head`: nobody reads any more, and the terminal is not left without echo.
func TestTerminalIsGivenBackWhereNobodyReadsWhatIsPrinted(t *testing.T) {
	c, env, av, run := lent(t)
	s := &screen{cmd: exec.Command(av, "attach", run)}
	var err error
	if s.keyboard, s.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	defer s.tty.Close()
	defer s.keyboard.Close()
	s.before = s.state(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	s.cmd.Env, s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = env, s.tty, write, &said
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.cmd.Process.Kill()
	_ = write.Close()
	// Control: it had taken the terminal.
	until(t, "a raw terminal", time.Minute, func() bool { return s.state(t) != s.before })
	_ = read.Close()
	_, _ = c.Output(console.Stdout).Write([]byte("nobody reads this\n"))
	s.ends(t, exitFailed)
	if !bytes.Contains(said.Bytes(), []byte("av: error: print what the run prints: ")) {
		t.Errorf("it says %q", &said)
	}
}

// What is kept of a run's output is so much; whoever sits at the socket may send more.
func TestTailIsPrintedUpToItsCeiling(t *testing.T) {
	dir := t.TempDir()
	for size, want := range map[int]int{10: 10, 2 * maxShownTail: maxShownTail} {
		var sent bytes.Buffer
		if err := console.Send(&sent, console.Stdout, bytes.Repeat([]byte("x"), size)); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		e := &env{home: dir, stdout: &out, stderr: &bytes.Buffer{}}
		if err := e.showTail(&sent); err != nil || out.Len() > want || out.Len() < want*9/10 {
			t.Errorf("of %d bytes %d are printed: %v", size, out.Len(), err)
		}
	}
}

func TestPipeForReportsIsNotHandedOn(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	fd, err := syscall.Dup(int(write.Fd())) // as the one that a process is started with
	if err != nil {
		t.Fatal(err)
	}
	listed := func() string {
		out, err := exec.Command("sh", "-c", "ls -l /proc/$$/fd").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(listed(), pipe) {
		t.Fatal("control: a process does not inherit it")
	}
	report := openReport(fd)
	defer report.Close()
	if strings.Contains(listed(), pipe) {
		t.Error("a process that is started has it")
	}
}
