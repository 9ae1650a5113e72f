package main

import (
	"fmt"
	"io"
	"os"
)

// openInput is a file that is read, or stdin.
func (e *env) openInput(name, what string) (io.ReadCloser, error) {
	if name == "-" {
		if err := e.takeStdin(what); err != nil {
			return nil, err
		}
		return io.NopCloser(e.stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, unreadInput(what, err)
	}
	return f, nil
}

// readInput reads what of a file or of stdin could be of use; who makes sense of it says
// that it is too long.
func (e *env) readInput(name, what string, limit int64) ([]byte, error) {
	in, err := e.openInput(name, what)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	b, err := io.ReadAll(io.LimitReader(in, limit))
	if err != nil {
		clear(b)
		return nil, unreadInput(what, err)
	}
	return b, nil
}

func unreadInput(what string, err error) error {
	return withHint(fmt.Errorf("read %s: %w", what, err), "name a file that you can read, or - for stdin")
}
