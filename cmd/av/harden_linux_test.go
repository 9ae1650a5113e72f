package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

// attach tries to read another process's memory in the two ways that there are.
const attach = `
import ctypes, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
print("ptrace", "works" if libc.ptrace(0x4206, pid, None, None) == 0 else "fails")
try:
    open(f"/proc/{pid}/mem", "rb").close()
    print("mem works")
except PermissionError:
    print("mem fails")
`

// The broker's memory holds credentials, and its command runs as the same user on the
// same host. What the kernel lets nobody but root read has root for its owner.
func TestNoProcessOfTheUserReadsTheBrokersMemory(t *testing.T) {
	require.Root(t) // to become somebody else
	require.Client(t, "python3", "-c", "import ctypes")
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "av-nobody-") // t.TempDir lies in folders that only root may enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	as := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AV_HOME=" + filepath.Join(dir, "home")}
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	av := filepath.Join(bin, "av")
	if out, err := as(av, "init", "--no-password").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// alive starts a process that says when it is there.
	alive := func(name string, args ...string) int {
		t.Helper()
		cmd, out := as(name, args...), &syncBuffer{}
		cmd.Stdout = out
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
		until(t, "the process", time.Minute, func() bool { return strings.Contains(out.String(), "ready") })
		return cmd.Process.Pid
	}
	broker := alive(av, "run", "--quiet", "--", "sh", "-c", "echo ready; read line")
	other := alive("sh", "-c", "echo ready; read line")
	for _, c := range []struct {
		name  string
		pid   int
		owner uint32
		want  string
	}{
		{"the broker", broker, 0, "ptrace fails\nmem fails\n"},
		{"control: another process of the user", other, nobody, "ptrace works\nmem works\n"},
	} {
		for _, file := range []string{"mem", "environ", "maps", "fd"} {
			info, err := os.Stat(fmt.Sprintf("/proc/%d/%s", c.pid, file))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t).Uid; owner != c.owner {
				t.Errorf("%s: %s is owned by %d, want %d", c.name, file, owner, c.owner)
			}
		}
		out, err := as("env", "python3", "-c", attach, fmt.Sprint(c.pid)).CombinedOutput()
		if yama, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); c.owner != 0 && len(yama) > 0 && yama[0] != '0' {
			continue // this kernel lets nobody attach to who is no child of his
		}
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %v: %s, want %s", c.name, err, out, c.want)
		}
	}
}
