package main

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/av-project/av/runner/entry"
)

const enterName = "enter"

// enterCommand is what a box runs first, see runner/entry.
func enterCommand(*env) *cobra.Command {
	return &cobra.Command{
		Use:                enterName + " COMMAND [ARG...]",
		Hidden:             true,
		DisableFlagParsing: true,
		Args:               cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			orders, err := entry.Read(entry.What)
			if err != nil {
				return err
			}
			if err := orders.Carry(); err != nil {
				return err
			}
			return become(args, os.Getenv("PATH"))
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
