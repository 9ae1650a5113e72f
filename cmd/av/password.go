package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

const passwordVariable = "AV_MASTER_PASSWORD"

// takePassword reads the master password from the environment and removes it there,
// before anything else runs: no child of this process, Docker's client and the agent
// among them, shall inherit it. An empty one is none: that is how a CI job hands over
// a secret that it does not have.
func takePassword() string {
	password := os.Getenv(passwordVariable)
	_ = os.Unsetenv(passwordVariable) // fails for a malformed name alone
	return password
}

// masterPassword is the password of a vault that is there. The vault clears it.
func (e *env) masterPassword(ctx context.Context) ([]byte, error) {
	if e.password != "" {
		return []byte(e.password), nil
	}
	if !e.onTerminal() {
		return nil, withHint(errors.New("the vault wants its master password, and there is no terminal to ask on"),
			"set "+passwordVariable)
	}
	return e.ask(ctx, "master password: ")
}

// newPassword is the password of a vault that is to be made. On a terminal it is
// typed twice: nobody sees what they typed, and nothing opens the vault without it.
func (e *env) newPassword(ctx context.Context) ([]byte, error) {
	if e.password != "" {
		return []byte(e.password), nil
	}
	if !e.onTerminal() {
		return nil, withHint(errors.New("no master password was given, and there is no terminal to ask on"),
			"set "+passwordVariable+", or use `av init --no-password` for a key file instead")
	}
	first, err := e.ask(ctx, "new master password: ")
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, withHint(errors.New("the master password is empty"), "type one, or use `av init --no-password`")
	}
	again, err := e.ask(ctx, "the same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, withHint(errors.New("the two passwords differ"), "try again")
	}
	return first, nil
}

func (e *env) onTerminal() bool { return term.IsTerminal(int(e.stdin.Fd())) }

// ask reads a line from the terminal without showing it. When it is interrupted it
// gives the terminal its echo back, which the kernel would not.
func (e *env) ask(ctx context.Context, prompt string) ([]byte, error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	fd := int(e.stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("read from the terminal: %w", err)
	}
	type answer struct {
		line []byte
		err  error
	}
	answered := make(chan answer, 1)
	fmt.Fprint(e.stderr, "av: "+prompt)
	go func() {
		line, err := term.ReadPassword(fd)
		answered <- answer{line, err}
	}()
	defer fmt.Fprintln(e.stderr)
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, fmt.Errorf("read from the terminal: %w", a.err)
		}
		return a.line, nil
	case <-ctx.Done():
		// The reader stays in its read; the process is about to end.
		_ = term.Restore(fd, before)
		return nil, errors.New("interrupted")
	}
}
