package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A fork bomb, and a file that wants all of the host's memory: the kernel says no, and
// the box goes on. The gate is bounded too, for the agent can make it work.
func TestBoxTakesNoMoreOfTheHostThanItsCeilings(t *testing.T) {
	dir, env, av := home(t)
	const pids, size = 4096, 2 << 30
	script := filepath.Join(t.TempDir(), "greedy.py")
	if err := os.WriteFile(script, fmt.Appendf(nil, `
import errno, os, threading
home = os.statvfs(os.environ["HOME"])
print("home", home.f_blocks * home.f_frsize, flush=True)
with open(os.environ["HOME"] + "/large", "w") as f:
    for size in (1 << 20, %d + 1):
        try:
            os.posix_fallocate(f.fileno(), 0, size)
            print("allocated", size, flush=True)
        except OSError as e:
            print("refused", size, errno.errorcode[e.errno], flush=True)
threading.stack_size(64 << 10)
end, n = threading.Event(), 0
try:
    while n <= 2 * %d:
        threading.Thread(target=end.wait, daemon=True).start()
        n += 1
except RuntimeError:
    pass
print("threads", n, flush=True)
end.set()
`, size, pids), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, av, env, "cat >/tmp/g.py <<'END'\n"+string(text)+"END\npython3 /tmp/g.py; echo ready; cat")
	var threads int
	for line := range strings.Lines(r.out.String()) {
		_, _ = fmt.Sscanf(line, "threads %d", &threads)
	}
	// The shell, Python and the init process are among those that are counted.
	if threads < pids-64 || threads >= pids {
		t.Errorf("%d threads came to be, the ceiling is %d", threads, pids)
	}
	for _, want := range []string{fmt.Sprintf("home %d\n", size), fmt.Sprintf("allocated %d\n", 1<<20), fmt.Sprintf("refused %d ENOSPC\n", size+1)} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, r.out)
		}
	}
	owner, err := os.ReadFile(filepath.Join(dir, "owner"))
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(string(owner), " ")
	ids, err := exec.Command("docker", "ps", "-q", "--filter", "label=av.owner="+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	limits, err := exec.Command("docker", append([]string{"inspect", "-f", "{{.Path}} {{.Args}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}"}, strings.Fields(string(ids))...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(limits), fmt.Sprintf("[gate] %d 64\n", 64<<20)) || !strings.Contains(string(limits), fmt.Sprint(" ", pids, "\n")) {
		t.Errorf("the engine was told:\n%s", limits)
	}
	_ = r.stdin.Close()
	done := make(chan error, 1)
	go func() { done <- r.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%v:\n%s", err, r.out)
		}
	case <-time.After(time.Minute):
		t.Error("the run does not end")
	}
}
