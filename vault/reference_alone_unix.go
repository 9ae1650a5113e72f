//go:build unix

package vault

import (
	"os/exec"
	"syscall"
)

// alone gives cmd a session of its own, without a terminal: it is killed with its children.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return kill(cmd) }
}

func kill(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
