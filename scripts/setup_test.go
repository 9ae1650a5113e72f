//go:build linux

// Package scripts tries the shell scripts of this folder.
// It holds tests alone; what they start has folders of its own, and they end it.
package scripts

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestSetupLeavesADaemonAndAnImage(t *testing.T) {
	m := newMachine(t)
	out := m.setup()
	for _, want := range []string{
		"setup: starting dockerd by hand, log in " + m.path("log"),
		"setup: pulling " + image,
		"setup: cannot pull " + image + ": ",
		"setup: making " + image + " from the distribution's packages",
		"setup: docker answers and has " + image,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("setup does not say %q:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "setup: ") {
			t.Errorf("a line that is not a step of setup: %q", line)
		}
	}
	m.mustHaveImage(image)
	if got, want := m.read("sources"), "deb http://mirror.test/debian bookworm main\n"; got != want {
		t.Errorf("the image is made from %q, want this machine's mirror of bookworm and nothing else, %q", got, want)
	}

	t.Run("and changes nothing the second time", func(t *testing.T) {
		pid, log := m.read("run/docker.pid"), m.read("log")
		if got, want := m.setup(), "setup: docker answers and has "+image+"\n"; got != want {
			t.Errorf("setup says %q, want %q", got, want)
		}
		if m.read("run/docker.pid") != pid {
			t.Error("the daemon was started anew")
		}
		if now := m.read("log"); strings.Count(now, "\n") > strings.Count(log, "\n")+1 {
			t.Errorf("the log has grown by:\n%s", strings.TrimPrefix(now, log))
		}
	})
	if _, err := os.Stat(m.path("apt-get.calls")); err == nil {
		t.Errorf("packages were asked for that are there: %s", m.read("apt-get.calls"))
	}
}

// dockerd refuses to start when any process at all has the number in its pid file, and takes such a process for the
// containerd it would otherwise start itself.
func TestADeadDaemonsLeftoversDoNotStopSetup(t *testing.T) {
	m := newMachine(t)
	m.setup()

	t.Run("pid files of the dead", func(t *testing.T) {
		m.end(syscall.SIGKILL)
		out := m.setup()
		if want := "is no live dockerd"; !strings.Contains(out, want) {
			t.Errorf("setup does not say %q:\n%s", want, out)
		}
		m.mustHaveImage(image)
	})

	t.Run("pid files that name somebody else", func(t *testing.T) {
		m.end(syscall.SIGKILL)
		sleeper := exec.Command("sleep", "1000")
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		defer sleeper.Wait()
		defer sleeper.Process.Kill()
		m.write("run/docker.pid", strconv.Itoa(sleeper.Process.Pid))
		m.write("run/docker/containerd/containerd.pid", strconv.Itoa(sleeper.Process.Pid))
		m.setup()
		m.mustHaveImage(image)
		if !running(sleeper.Process.Pid) {
			t.Error("setup ended a process that is not its own")
		}
	})

	t.Run("pid files with nonsense and a folder in the socket's place", func(t *testing.T) {
		m.end(syscall.SIGKILL)
		m.write("run/docker.pid", "no number\n")
		m.write("run/docker/containerd/containerd.pid", "")
		os.Remove(m.path("run/docker.sock"))
		if err := os.Mkdir(m.path("run/docker.sock"), 0o755); err != nil {
			t.Fatal(err)
		}
		m.setup()
		m.mustHaveImage(image)
	})

	t.Run("the socket of a system containerd that is gone", func(t *testing.T) {
		m.end(syscall.SIGKILL)
		m.write("run/containerd/lock", "")
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		socket := m.path("run/containerd/containerd.sock")
		if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
			t.Fatal(err)
		}
		syscall.Close(fd) // the file stays, as it does when its owner is killed
		m.setup()
		m.mustHaveImage(image)
		if _, err := os.Lstat(socket); err == nil {
			t.Error("the stale socket is still there")
		}
	})
}

func TestTwoSetupsAtOnceStartOneDaemon(t *testing.T) {
	m := newMachine(t)
	outs := make([]string, 2)
	var both sync.WaitGroup
	for i := range outs {
		both.Go(func() {
			var err error
			if outs[i], err = m.exec(nil, "./setup"); err != nil {
				t.Errorf("setup: %v\n%s", err, outs[i])
			}
		})
	}
	both.Wait()
	if n := strings.Count(outs[0]+outs[1], "starting dockerd"); n != 1 {
		t.Errorf("dockerd was started %d times", n)
	}
}

func TestTheImageIsPulledWhereThereIsARegistry(t *testing.T) {
	m := newMachine(t)
	image := registry(t)
	out := m.setup("AV_SETUP_IMAGE=" + image)
	if want := "setup: pulled " + image; !strings.Contains(out, want) {
		t.Errorf("setup does not say %q:\n%s", want, out)
	}
	m.mustHaveImage(image)
}

func TestARegistryThatNeverAnswersIsGivenUp(t *testing.T) {
	m := newMachine(t)
	image := silence(t)
	m.setup() // the daemon and the other image, so that only the pull is timed
	start := time.Now()
	out := m.setup("AV_SETUP_IMAGE="+image, "AV_SETUP_PULL_WAIT=1")
	if want := "setup: cannot pull " + image + ": no answer in 1 s"; !strings.Contains(out, want) {
		t.Errorf("setup does not say %q:\n%s", want, out)
	}
	// The client alone would wait for minutes.
	if took := time.Since(start); took > 90*time.Second {
		t.Errorf("it took %v", took)
	}
	m.mustHaveImage(image)
}

func TestADaemonThatDiesAtOnceIsReportedWithItsLog(t *testing.T) {
	m := newMachine(t)
	out, err := m.exec([]string{"AV_SETUP_DOCKERD_FLAGS=--no-such-flag"}, "./setup")
	if err == nil || !strings.Contains(out, "setup: error: dockerd does not answer") || !strings.Contains(out, "setup: | ") ||
		!strings.Contains(out, "no-such-flag") {
		t.Errorf("%v\n%s", err, out)
	}
}
