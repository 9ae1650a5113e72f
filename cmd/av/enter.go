package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/av-project/av/runner/hostpath"
)

const enterName = "enter"

// enterCommand is what a box runs first: it looks whether what is mounted is what was looked at
// on the host, and becomes the command. It is the last moment at which nobody of the agent's is
// there.
func enterCommand(*env) *cobra.Command {
	return &cobra.Command{
		Use:                enterName + " PROOFS COMMAND [ARG...]",
		Hidden:             true,
		DisableFlagParsing: true,
		Args:               cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var proofs []hostpath.Proof
			if err := json.Unmarshal([]byte(args[0]), &proofs); err != nil {
				return fmt.Errorf("read what must be in the box: %w", err)
			}
			if err := hostpath.Prove(proofs); err != nil {
				return err
			}
			return become(args[1:], os.Getenv("PATH"))
		},
	}
}

// become replaces this process by a command, as execvp(3) does. It returns only if that
// fails, with the exit code that a shell has for it; what is wrong av says outside.
func become(command []string, path string) error {
	candidates := []string{command[0]}
	if !strings.Contains(command[0], "/") {
		candidates = nil
		for dir := range strings.SplitSeq(path, ":") {
			if dir == "" {
				dir = "."
			}
			candidates = append(candidates, dir+"/"+command[0])
		}
	}
	code := exitCode(127)
	for _, name := range candidates {
		err := syscall.Exec(name, command, os.Environ())
		if errors.Is(err, syscall.ENOEXEC) {
			// A script without a first line that names its shell.
			err = syscall.Exec("/bin/sh", append([]string{"/bin/sh", name}, command[1:]...), os.Environ())
		}
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ENOTDIR) {
			code = 126
		}
	}
	return code
}
