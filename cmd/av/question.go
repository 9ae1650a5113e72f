package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// line asks on the terminal for something that may be seen while it is typed.
func (e *env) line(ctx context.Context, prompt string) (string, error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	fmt.Fprint(e.stderr, "av: "+prompt)
	type answer struct {
		line string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		line, err := readLine(e.stdin)
		answered <- answer{line, err}
	}()
	select {
	case a := <-answered:
		// The terminal has shown the key that ended the line, if it was that and if it is
		// there that we ask.
		if a.err != nil || !isTerminal(e.stderr) {
			fmt.Fprintln(e.stderr)
		}
		if errors.Is(a.err, io.EOF) {
			return "", withHint(errors.New("nothing was typed"), "type it and press enter")
		}
		return strings.TrimSpace(a.line), a.err
	case <-ctx.Done():
		fmt.Fprintln(e.stderr)
		// The reader stays in its read; the process is about to end.
		return "", errInterrupted
	}
}

// readLine reads up to the end of a line, and nothing after it: that is the answer to
// the next question.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		switch {
		case n == 1 && (b[0] == '\n' || b[0] == '\r'):
			return string(line), nil
		case n == 1 && b[0] == keyEndEarly:
			err = io.EOF
		case n == 1:
			line = append(line, b[0])
		}
		if err != nil {
			return "", err
		}
	}
}

// agreed asks a question whose answer is no unless it is yes.
func (e *env) agreed(ctx context.Context, question string) (bool, error) {
	answer, err := e.line(ctx, question+" [y/N] ")
	if err != nil {
		return false, err
	}
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes"), nil
}

// showsOutput tells whether somebody looks at stdout: it is a terminal.
func (e *env) showsOutput() bool { return isTerminal(e.stdout) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
