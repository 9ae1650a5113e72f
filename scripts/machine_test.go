//go:build linux

package scripts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

// image is made by the stand-in for mmdebstrap. The name's registry is a port where nobody listens, so that a
// pull fails at once and nothing leaves this machine.
const image = "127.0.0.1:1/debian:bookworm-slim"

// A machine is what scripts/setup is tried on: folders of its own for a second dockerd, which has a bridge of its
// own and no firewall and so disturbs nobody, and stand-ins for the programs that would go out to the distribution.
type machine struct {
	t      *testing.T
	dir    string
	bridge string
	env    []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	require.Root(t)
	require.Dockerd(t)
	// t.TempDir is too long a path for a unix socket that lies four folders deep in it.
	dir, err := os.MkdirTemp("/tmp", "av-setup")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, bridge: filepath.Base(dir)}
	m.bridge = m.bridge[:min(len(m.bridge), 15)]
	// A bridge of its own: a daemon told to have none deletes docker0, which may be another daemon's.
	if out, err := exec.Command("ip", "link", "add", "name", m.bridge, "type", "bridge").CombinedOutput(); err != nil {
		t.Fatalf("make a bridge: %v: %s", err, out)
	}
	t.Cleanup(m.clear)
	m.env = append(os.Environ(),
		"PATH="+m.path("bin")+":"+os.Getenv("PATH"),
		"TMPDIR="+dir,
		"DOCKER_HOST=unix://"+m.path("run/docker.sock"),
		"AV_SETUP_RUN_DIR="+m.path("run"),
		"AV_SETUP_DATA_ROOT="+m.path("data"),
		"AV_SETUP_LOG="+m.path("log"),
		"AV_SETUP_IMAGE="+image,
		"AV_SETUP_DOCKERD_FLAGS=--bridge="+m.bridge+" --iptables=false --containerd-namespace=av-setup --containerd-plugins-namespace=av-setup-plugins",
	)
	m.program("apt-get", `
		case "$1" in
		indextargets)
			echo "Packages http://mirror.test/debian bookworm main"
			echo "Packages http://mirror.test/debian trixie main"
			echo "Packages http://else.test/tools stable main" ;;
		*) echo "$*" >>`+m.path("apt-get.calls")+`; exit 1 ;;
		esac`)
	m.program("mmdebstrap", `
		cp "${@: -1}" `+m.path("sources")+`
		mkdir -p `+m.path("root/etc")+`
		tar -C `+m.path("root")+` -cf "${@: -2:1}" .`)
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// program puts a stand-in in front of a program of the machine.
func (m *machine) program(name, script string) {
	m.t.Helper()
	m.write("bin/"+name, "#!/bin/bash\nset -e\n"+script+"\n")
	if err := os.Chmod(m.path("bin/"+name), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(name, content string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	m.t.Helper()
	content, err := os.ReadFile(m.path(name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(content)
}

func (m *machine) exec(extra []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(m.env[:len(m.env):len(m.env)], extra...)
	// dockerd must not keep the pipe of its starter open; Wait would not end.
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// setup runs the script, wants it to succeed, and returns what it said.
func (m *machine) setup(extra ...string) string {
	m.t.Helper()
	out, err := m.exec(extra, "./setup")
	if err != nil {
		m.t.Fatalf("setup: %v\n%s", err, out)
	}
	return out
}

func (m *machine) mustHaveImage(name string) {
	m.t.Helper()
	if out, err := m.exec(nil, "docker", "image", "inspect", name); err != nil {
		m.t.Fatalf("no image %s: %v\n%s", name, err, out)
	}
}

// pid returns the process that a pid file of this machine names, when it is one of this machine's programs.
func (m *machine) pid(file string) (int, bool) {
	content, err := os.ReadFile(m.path(file))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, false
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid, err == nil && pid != os.Getpid() && strings.Contains(string(cmdline), m.dir)
}

// end sends a signal to the daemon and waits for it and its containerd to be gone.
func (m *machine) end(signal syscall.Signal) {
	m.t.Helper()
	for _, file := range []string{"run/docker.pid", "run/docker/containerd/containerd.pid"} {
		pid, ok := m.pid(file)
		if !ok {
			continue
		}
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			m.t.Errorf("end %s: %v", file, err)
		}
		until(m.t, fmt.Sprintf("process %d of %s to end", pid, file), func() bool { return !running(pid) })
	}
}

// clear ends what the test left running and removes the folders, those that dockerd mounted too.
func (m *machine) clear() {
	m.end(syscall.SIGTERM)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if point := strings.Fields(line)[4]; strings.HasPrefix(point, m.dir+"/") {
			if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
				m.t.Errorf("unmount %s: %v", point, err)
			}
		}
	}
	if out, err := exec.Command("ip", "link", "del", m.bridge).CombinedOutput(); err != nil {
		m.t.Errorf("remove the bridge: %v: %s", err, out)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Error(err)
	}
}

// running tells whether a process lives; one that is dead and not yet reaped does not.
func running(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

// until polls, because there is nothing to wait on: the processes are not our children.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}
