package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	// vault is --vault or AV_VAULT; empty: the one of `av vault use`.
	vault string
	// home is $AV_HOME: the vault, the run folders and nothing of anybody else's.
	home string
	// password is what AV_MASTER_PASSWORD held, or the content of --password-file once it
	// was needed; nil if neither was given.
	password     []byte
	passwordFile string
	// args are the command line without the program's name, for one that starts itself again.
	args []string
	// background is set in a process that carries a detached run.
	background *background
	// stdinGives names what stdin was read for: it can be read once.
	stdinGives string
	keyring    keyring
	// remembered tells what became of the keyring in this process.
	remembered recollection
}

func environment(password []byte) *env {
	// net/http prints there what an upstream says out of turn, which may be the credential
	// that it was sent.
	log.SetOutput(io.Discard)
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, password: password, keyring: osKeyring{}}
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
	e.args = args
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
	return exitCodeOf(err)
}

// exitCodeOf is what a failure of av's own exits with.
func exitCodeOf(err error) int {
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
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return err
	}
	for _, start := range []string{"unknown command", "accepts ", "requires "} {
		if strings.HasPrefix(err.Error(), start) {
			// Cobra writes what may have been meant under it, on lines of their own.
			text, near, _ := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
			hint := "see `av help`"
			if names := strings.Fields(near); len(names) > 0 {
				hint = "did you mean " + strings.Join(names, " or ") + "? " + hint
			}
			return withHint(errors.New(text), hint)
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
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := checkEmpty(c); err != nil {
				return err
			}
			if err := checkVault(c); err != nil {
				return err
			}
			if e.home == "" && needsHome(c) {
				return withHint(errors.New("cannot tell where av keeps its files: neither AV_HOME nor HOME is set"),
					"set AV_HOME to a folder of your own")
			}
			if e.home != "" && !filepath.IsAbs(e.home) {
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
	root.SetHelpCommand(helpCommand())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return withHint(plainly(err), "see `"+c.CommandPath()+" --help`")
	})
	root.PersistentFlags().StringVar(&e.passwordFile, "password-file", "",
		"read the master password from `FILE` (- is stdin); "+passwordVariable+" goes first")
	root.PersistentFlags().StringVar(&e.vault, "vault", e.getenv("AV_VAULT"),
		"work on the vault `NAME`; default from AV_VAULT, else the one of `av vault use`")
	root.AddCommand(commands(e)...)
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		// Not where it is refused.
		root.PersistentFlags().Lookup("vault").Hidden = c != root && !worksInVault(c)
		help(c, args)
	})
	return root
}

// needsHome tells whether a command has to do with av's files.
func needsHome(c *cobra.Command) bool {
	return c.Name() != "help" && c.Name() != "version" && c.Name() != enterName
}

// checkEmpty refuses a flag that was given and says nothing, as --from-file "$FILE" does
// where FILE is not set: what the flag was to keep from happening would happen.
func checkEmpty(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && err == nil {
			err = withHint(fmt.Errorf("--%s is empty", f.Name), "give it a value, or leave it out")
		}
	})
	return err
}

// plainly says what is wrong with a flag's value without the names of Go's functions.
func plainly(err error) error {
	text := err.Error()
	start, _, found := strings.Cut(text, " flag: ")
	if !found {
		return err
	}
	switch {
	case strings.Contains(text, "strconv.ParseInt"):
		return errors.New(start + ": it takes a number")
	case strings.Contains(text, ": time: "):
		return errors.New(start + ": it takes a duration, such as 30s, 90m or 24h")
	case strings.Contains(text, "strconv.ParseBool"):
		return errors.New(start + ": it is true or false")
	}
	return err
}
