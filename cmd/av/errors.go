package main

import (
	"errors"
	"fmt"
	"syscall"
)

// exitCode is an error that carries the exit code of the command that ran and
// has nothing more to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// hinted is an error with the next step for the person who reads it. Packages
// below cmd/av give hints by having the same method on their error types.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }
func (h *hinted) Hint() string  { return h.hint }

func withHint(err error, hint string) error { return &hinted{err, hint} }

// elseHint gives an error that has no hint one.
func elseHint(err error, hint string) error {
	var h interface{ Hint() string }
	if err == nil || errors.As(err, &h) && h.Hint() != "" {
		return err
	}
	return withHint(err, hint)
}

// complain writes err to stderr as a person reads it: what failed, and what to do.
func (e *env) complain(err error) {
	fmt.Fprintf(e.stderr, "av: error: %s\n", cleanLines(err.Error()))
	if errors.Is(err, syscall.ENOSPC) {
		err = elseHint(err, "make room there, or name another place")
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintf(e.stderr, "av: hint: %s\n", cleanLines(h.Hint()))
	}
}
