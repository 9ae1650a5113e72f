package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

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

// ask reads a line from the terminal without showing it, and gives the terminal its
// echo back however that ends, which the kernel would not.
func (e *env) ask(ctx context.Context, prompt string) ([]byte, error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	fd := int(e.stdin.Fd())
	fmt.Fprint(e.stderr, "av: "+prompt)
	defer fmt.Fprintln(e.stderr)
	// Raw, because the kernel's own editing hides Ctrl-D from term.ReadPassword, which
	// then waits for more.
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("read from the terminal: %w", err)
	}
	defer func() { _ = term.Restore(fd, before) }()
	type answer struct {
		line []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		line, err := typed(e.stdin)
		answered <- answer{line, err}
	}()
	select {
	case a := <-answered:
		switch {
		case errors.Is(a.err, io.EOF):
			return nil, withHint(errors.New("nothing was typed"), "type it and press enter")
		case a.err != nil && !errors.Is(a.err, errInterrupted):
			return nil, fmt.Errorf("read from the terminal: %w", a.err)
		}
		return a.line, a.err
	case <-ctx.Done():
		// The reader stays in its read; the process is about to end.
		return nil, errInterrupted
	}
}

var errInterrupted = withHint(errors.New("interrupted"), "nothing was changed; try again")

// What keys send where the kernel does not edit lines.
const (
	keyInterrupt = 'C' - '@'
	keyEnd       = 'D' - '@'
	keyEndEarly  = 0 // what the kernel makes of a Ctrl-D typed before the question
	keyErase     = 'H' - '@'
	keyEraseAll  = 'U' - '@'
	keyDelete    = 0x7f
)

// typed reads keys up to the end of a line, and none after it: they are the answer to
// the next question.
func typed(keys io.Reader) (line []byte, err error) {
	for key := make([]byte, 1); ; {
		if _, err := keys.Read(key); err != nil {
			return nil, err
		}
		switch key[0] {
		case '\r', '\n':
			return line, nil
		case keyInterrupt:
			return nil, errInterrupted
		case keyEnd, keyEndEarly:
			if len(line) == 0 {
				return nil, io.EOF
			}
			return line, nil
		case keyErase, keyDelete:
			_, size := utf8.DecodeLastRune(line)
			line = line[:len(line)-size]
		case keyEraseAll:
			line = line[:0]
		default:
			line = append(line, key[0])
		}
	}
}
