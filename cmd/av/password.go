package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/term"
)

// masterPassword is the password of a vault that is there. The vault clears it, and may
// ask again if it was wrong: see wrongPassword.
func (e *env) masterPassword(ctx context.Context) ([]byte, error) {
	password, err := e.givenPassword()
	if password != nil || err != nil {
		return password, err
	}
	if password := e.rememberedPassword(ctx); password != nil {
		return password, nil
	}
	if !e.onTerminal() {
		return nil, withHint(errors.New("the vault wants its master password, and there is no terminal to ask on"),
			"set "+passwordVariable+", or use --password-file")
	}
	return e.ask(ctx, "master password: ")
}

// givenPassword is what came with the command line: AV_MASTER_PASSWORD, else the content
// of --password-file; nil if neither was given.
func (e *env) givenPassword() ([]byte, error) {
	if len(e.password) == 0 && e.passwordFile != "" {
		// Kept, since stdin can be read once and the vault may ask twice.
		password, err := e.readPasswordFile(e.passwordFile, "the master password")
		if err != nil {
			return nil, err
		}
		e.password = password
	}
	if len(e.password) == 0 {
		return nil, nil
	}
	return bytes.Clone(e.password), nil
}

// newPassword is the password of a vault that is to be made.
func (e *env) newPassword(ctx context.Context) ([]byte, error) {
	password, err := e.givenPassword()
	if password != nil || err != nil {
		return oneLine(password, err)
	}
	if !e.onTerminal() {
		return nil, withHint(errors.New("no master password was given, and there is no terminal to ask on"),
			"set "+passwordVariable+", or use `av init --no-password` for a key file instead")
	}
	return e.typeTwice(ctx, "master password", "type one, or use `av init --no-password`")
}

// oneLine refuses a new password that nobody could type: its file is another one than was
// meant, or stdin gave more than it.
func oneLine(password []byte, err error) ([]byte, error) {
	if err == nil && bytes.ContainsAny(password, "\r\n\x00") {
		clear(password)
		return nil, withHint(errors.New("the new master password has more than one line"), "put it on one line, with nothing else beside it")
	}
	return password, err
}

// typeTwice asks for a new password. It is typed twice: nobody sees what they typed, and
// nothing else opens what it seals. instead is what to do rather than to type nothing.
func (e *env) typeTwice(ctx context.Context, what, instead string) ([]byte, error) {
	first, err := e.ask(ctx, "new "+what+": ")
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, withHint(fmt.Errorf("the new %s is empty", what), instead)
	}
	again, err := e.ask(ctx, "the same again: ")
	defer clear(again)
	if err == nil && !bytes.Equal(first, again) {
		err = withHint(fmt.Errorf("the two typed for the new %s differ", what), "try again; nothing was changed")
	}
	if err != nil {
		clear(first)
		return nil, err
	}
	return first, nil
}

func (e *env) onTerminal() bool { return term.IsTerminal(int(e.stdin.Fd())) }

// ask reads a line from the terminal without showing it, and gives the terminal its
// echo back however that ends, which the kernel would not.
func (e *env) ask(ctx context.Context, prompt string) ([]byte, error) {
	return e.askLine(ctx, prompt, func() error { return nil })
}

// askValue asks for a credential's value. It is the last question of its command: what has
// been typed behind the line by then was pasted with it, and the shell would show and run it.
func (e *env) askValue(ctx context.Context, key string) ([]byte, error) {
	return e.askLine(ctx, "value of "+key+": ", func() error {
		if pending(e.stdin) {
			return withHint(fmt.Errorf("several lines were typed at once for %s, and a question takes one", key),
				"put them into a file: av credential set "+key+" < FILE")
		}
		return nil
	})
}

// askLine has done look at the terminal before it is given back.
func (e *env) askLine(ctx context.Context, prompt string, done func() error) ([]byte, error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	fd := int(e.stdin.Fd())
	defer fmt.Fprintln(e.stderr)
	// Raw, because the kernel's own editing hides Ctrl-D from term.ReadPassword, which
	// then waits for more.
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("read from the terminal: %w", err)
	}
	defer func() { _ = term.Restore(fd, before) }()
	// Not before: whoever is quick, or pastes, would see what they typed.
	fmt.Fprint(e.stderr, "av: "+prompt)
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
		return a.line, errors.Join(a.err, done())
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
