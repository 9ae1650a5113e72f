package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
)

// A box that wants more memory than it has loses what took it, and av says why. With
// enough of it, the same goes well.
func TestBoxThatRunsOutOfItsMemoryIsEndedAndSaysSo(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	const hungry = "x = b'x' * (200 << 20); print('full')"
	for _, c := range []struct {
		memory, wants string
		code          int
	}{{"64MiB", "the box ran out of its memory", 137}, {"400MiB", "full\n", 0}} {
		cmd := exec.Command(av, "run", "--isolation=container", "--memory", c.memory, "--", "python3", "-c", hungry)
		cmd.Env, cmd.Dir = env, t.TempDir()
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.wants) {
			t.Errorf("with %s: exit code %d: %s", c.memory, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// What a box prints goes to no file of the engine's, what it opens and starts ends at its
// ceilings, its /dev/shm is memory of its own, and nothing of it is the host's: while all
// that is tried, its proxy answers.
func TestFloodsStayInTheBox(t *testing.T) {
	dir, env, av := home(t)
	before := openFiles(t)
	r := begin(t, av, env, "run", "--isolation=container", "--", "bash", "-c", `yes 0123456789abcdef | head -c 64000000 >&2 & wait
cat >/tmp/f.py <<'END'
import errno, os, sys, time
files = []
try:
    while len(files) < 5000000: files.append(os.open("/dev/null", os.O_RDONLY))
except OSError as e: print("files", errno.errorcode[e.errno], len(files), flush=True)
for f in files: os.close(f)
children = []
try:
    while len(children) < 5000:
        pid = os.fork()
        if pid == 0:
            time.sleep(600); os._exit(0)
        children.append(pid)
except OSError as e: print("forks", errno.errorcode[e.errno], len(children), flush=True)
for pid in children: os.kill(pid, 9)
for pid in children: os.waitpid(pid, 0)
try:
    with open("/dev/shm/large", "wb") as f:
        os.posix_fallocate(f.fileno(), 0, 2 << 30)
except OSError as e: print("shm", errno.errorcode[e.errno], flush=True)
END
python3 /tmp/f.py; ulimit -c
curl -sS -o /dev/null -w 'proxy %{http_connect}\n' https://nowhere.test/ 2>/dev/null
echo ready; cat`)
	until(t, "the floods", 8*time.Minute, func() bool { return strings.Contains(r.out.String(), "\nready\n") })
	defer r.stdin.Close()
	for _, want := range []string{"files EMFILE ", "forks EAGAIN ", "shm ENOSPC\n", "\n0\n", "proxy 403\n"} {
		if !strings.Contains(r.out.String(), want) {
			text := r.out.String()
			t.Errorf("no %q at the end of %q", want, text[max(0, len(text)-2000):])
		}
	}
	var files int
	_, said, _ := strings.Cut(r.out.String(), "files EMFILE ")
	_, _ = fmt.Sscan(said, &files)
	if after := openFiles(t); after > before+files {
		t.Errorf("the host has %d open files, and had %d", after, before)
	}
	owner, err := netiso.KnownOwner(dir)
	if err != nil {
		t.Fatal(err)
	}
	box := docker(t, "ps", "-q", "--filter", "label=av.owner="+owner, "--filter", "name=-agent$")
	const asked = "{{.HostConfig.LogConfig.Type}} {{.LogPath}}|{{.HostConfig.IpcMode}}|{{.HostConfig.PidMode}}|{{.HostConfig.UTSMode}}|{{.HostConfig.Privileged}}|{{.HostConfig.OomScoreAdj}}|{{eq .HostConfig.Memory .HostConfig.MemorySwap}}"
	if got := docker(t, "inspect", "-f", asked, box); got != "none |private|||false|500|true" {
		t.Errorf("the engine was told %q", got)
	}
	for _, space := range []string{"ipc", "pid", "uts", "mnt"} {
		pid := docker(t, "inspect", "-f", "{{.State.Pid}}", box)
		theirs, err := os.Readlink("/proc/" + pid + "/ns/" + space)
		ours, failed := os.Readlink("/proc/self/ns/" + space)
		if err != nil || failed != nil || theirs == ours {
			t.Errorf("%s: the box is in %s, the host in %s (%v, %v)", space, theirs, ours, err, failed)
		}
	}
}

func openFiles(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err == nil {
		_, err = fmt.Sscan(string(text), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
