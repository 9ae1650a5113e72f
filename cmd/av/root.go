package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// exitFailed is what av exits with when av itself could not do what was asked,
// as `docker run` does; 126 and 127 are the command's own, anything else the agent's.
const exitFailed = 125

// env is what the process was given: its streams and its environment. Commands
// take everything from here, so that a test can hand them something else.
type env struct {
	stdin  *os.File
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	// home is $AV_HOME: the vault, the run folders and nothing of anybody else's.
	home string
	// password is what AV_MASTER_PASSWORD held; it is no longer in the environment.
	password string
}

func environment() *env {
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, password: takePassword()}
	e.home = e.getenv("AV_HOME")
	if e.home == "" {
		if dir, err := os.UserHomeDir(); err == nil {
			e.home = filepath.Join(dir, ".av")
		}
	}
	return e
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, e *env, args []string) int {
	root := rootCommand(e)
	root.SetArgs(args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var quiet exitCode
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	e.complain(usageHint(err))
	// The name is ours alone: errors of os/exec have an ExitCode too, which is that of
	// some helper program and would be taken for the command's.
	var known interface{ CommandExit() int }
	if errors.As(err, &known) {
		return known.CommandExit()
	}
	return exitFailed
}

// usageHint gives cobra's own errors, which have no type, the hint that all have.
func usageHint(err error) error {
	for _, start := range []string{"unknown command", "accepts ", "requires "} {
		if strings.HasPrefix(err.Error(), start) {
			return withHint(err, "see `av help`")
		}
	}
	return err
}

// interruptible ends ctx on the signals that ask a program to stop, so that what is
// under way is undone. `av run` does without it: there, signals are the command's.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

func rootCommand(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:           "av",
		Short:         "run a coding agent in a box that holds no credential and has one way out",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if e.home == "" {
				return withHint(errors.New("cannot tell where av keeps its files: neither AV_HOME nor HOME is set"),
					"set AV_HOME to a folder of your own")
			}
			if !filepath.IsAbs(e.home) {
				abs, err := filepath.Abs(e.home)
				if err != nil {
					return fmt.Errorf("resolve AV_HOME %q: %w", e.home, err)
				}
				e.home = abs
			}
			return nil
		},
	}
	cobra.EnableCommandSorting = false
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return withHint(err, "see `"+c.CommandPath()+" --help`")
	})
	root.AddCommand(commands(e)...)
	return root
}
