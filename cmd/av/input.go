package main

import (
	"bytes"
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

// readUpTo reads what of a file could be of use; who makes sense of it says that it is
// too long.
func readUpTo(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, limit))
}

// dropLineBreak takes away the line break that editors and echo put at the end.
func dropLineBreak(b []byte) []byte {
	if line, ok := bytes.CutSuffix(b, []byte{'\n'}); ok {
		return bytes.TrimSuffix(line, []byte{'\r'})
	}
	return b
}

// takeStdin is asked by whoever is about to read all of stdin. What comes second would
// find nothing there, and take that for an empty value.
func (e *env) takeStdin(what string) error {
	if e.stdinGives != "" {
		return withHint(fmt.Errorf("stdin cannot give %s: it gives %s", what, e.stdinGives), "take one of them from a file")
	}
	e.stdinGives = what
	return nil
}
