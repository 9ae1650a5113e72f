//go:build !unix

package vault

import "os/exec"

func alone(*exec.Cmd) {}

func kill(cmd *exec.Cmd) error { return cmd.Process.Kill() }
