package main

import (
	"fmt"
	"os/exec"
	"testing"
)

// A file of no such number (116, ESTALE) was looked for, and that is the right.

// The controls of what is tried against the box itself.
const (
	hostPids   = "a container with the host's processes and SYS_PTRACE"
	readSearch = "a container with DAC_READ_SEARCH"
)

// boxAttacks are tries against what holds the box, beside its network.
func boxAttacks() []attack {
	table := []attack{
		{id: "F10", try: "running with another user's rights by a file of its", with: "bash", line: `cp /usr/bin/id /tmp/id.$M && chown 65533 /tmp/id.$M && chmod 4755 /tmp/id.$M && [ "$(/tmp/id.$M -u)" = 65533 ]`},
		{id: "F10", try: "a capability in a file", with: "python", line: `cp /usr/bin/id /tmp/cap.$M && python3 -c 'import os; os.setxattr("/tmp/cap." + os.environ["M"], "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))'`},
		{id: "F11", try: "a process of the gate's or the host's, by its number", with: "python", line: holdOfProcess("libc.ptrace(16, pid, 0, 0)"), control: hostPids},
		{id: "F11", try: "a process of the gate's or the host's, by its number", with: "python", line: holdOfProcess("libc.process_vm_readv(pid, 0, 0, 0, 0, 0)"), control: hostPids},
		{id: "F11", try: "a process of the gate's or the host's, by its number", with: "python", line: holdOfProcess("libc.syscall(438, libc.syscall(434, pid, 0), 0, 0)"), control: hostPids},
		{id: "F11", try: "a process of the gate's or the host's, by its number", with: "bash", line: `grep -qz "^$VICTIM_NAME" /proc/$VICTIM/cmdline && kill -0 $VICTIM`, control: hostPids},
		{id: "F11", try: "a process of the gate's or the host's, in its list", with: "bash", line: `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -xE '(/[a-z/]*/)?(dockerd|containerd|gate)'`, control: hostPids},
		{id: "F15", try: "a setting of the kernel", with: "bash", line: `v=$(cat /proc/sys/kernel/core_pattern) && printf '%s' "$v" >/proc/sys/kernel/core_pattern`, control: sysAdmin},
		{id: "F15", try: "a setting of the kernel", with: "bash", line: `mount -o remount,rw /sys; f=$(ls /sys/block/*/queue/read_ahead_kb | head -n 1) && v=$(cat $f) && echo $v >$f`, control: sysAdmin},
		{id: "F15", try: "a mount, and a group of the kernel's (cgroup) with a program to run", with: "mount", line: `mkdir /tmp/mnt.$M && mount -t tmpfs none /tmp/mnt.$M`, control: sysAdmin},
		{id: "F15", try: "a mount, and a group of the kernel's (cgroup) with a program to run", with: "mount", line: `mkdir /tmp/cg.$M && { mount -t cgroup -o pids none /tmp/cg.$M || mount -t cgroup2 none /tmp/cg.$M; } && ls /tmp/cg.$M/cgroup.procs`, control: sysAdmin},
		{id: "F15", try: "a device, or a socket to the hypervisor", with: "mknod", line: `mknod /tmp/disk.$M b 254 0 && [ -b /tmp/disk.$M ]`},
		{id: "F15", try: "a file of the host's, by its number", with: "python", line: `python3 -c '
import ctypes, os, sys
libc, handle = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer((8).to_bytes(4, "little") + (1).to_bytes(4, "little"), 136)
got = libc.open_by_handle_at(os.open("/etc/hostname", os.O_RDONLY), handle, 0)
sys.exit(got < 0 and ctypes.get_errno() != 116)'`, control: readSearch},
	}
	for _, way := range otherUsers {
		table = append(table, attack{id: "F10", try: "being the gate's user", with: way[0], line: fmt.Sprintf(becomeGate, way[1])})
	}
	return table
}

// holdOfProcess does something to a process of the host's by its number there. EFAULT is a
// yes: the right was looked at before the memory.
func holdOfProcess(call string) string {
	return `python3 -c '
import ctypes, os, sys
libc, pid = ctypes.CDLL(None, use_errno=True), int(os.environ["VICTIM"])
if not open(f"/proc/{pid}/cmdline").read().startswith(os.environ["VICTIM_NAME"]): sys.exit(1)
sys.exit(` + call + ` < 0)'`
}

// otherUsers are the ways to be 65533, the gate's user, by the name of the call: in each of
// the ids that it takes, and with bits that the kernel does not look at.
var otherUsers = [][2]string{
	{"setuid", "call(105, U)"},
	{"setuid", "call(105, U | 1 << 32)"},
	{"setreuid", "call(113, U, -1)"},
	{"setreuid", "call(113, 0xffffffff, U)"},
	{"setresuid", "call(117, U, -1, -1)"},
	{"setresuid", "call(117, -1, U | 1 << 40, -1)"},
	{"setresuid", "call(117, 0xffffffff, 0xffffffff, U)"},
	{"setfsuid", "call(122, U)"},
}

// becomeGate makes a call, and then looks at the four ids that the kernel says it has.
const becomeGate = `python3 -c '
import ctypes, sys
U, libc = 65533, ctypes.CDLL(None, use_errno=True)
def call(*a): return libc.syscall(*(ctypes.c_long(x) for x in a))
%s
ids = next(l for l in open("/proc/self/status") if l.startswith("Uid:")).split()[1:]
sys.exit(str(U) not in ids)'`

// startVictim starts a process of the host's that somebody may take hold of.
func startVictim(t *testing.T) (pid int, name string) {
	t.Helper()
	const program = "sleep"
	cmd := exec.Command(program, "3600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid, program
}
