package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

func TestMasterPasswordIsTakenOutOfTheEnvironment(t *testing.T) {
	t.Setenv(passwordVariable, "horse")
	if got, err := takePassword(); err != nil || string(got) != "horse" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, there := os.LookupEnv(passwordVariable); there {
		t.Fatalf("%q is still there", got)
	}
	if got, err := takePassword(); err != nil || got != nil {
		t.Fatalf("%q, %v", got, err)
	}
}

// terminal is an env whose stdin is a terminal, the side where somebody types, and
// what that terminal has shown, once nothing more is asked on it.
func terminal(t *testing.T) (e *env, keyboard *os.File, shown func() string) {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = screen.ReadFrom(keyboard) }) // until the other side is closed
	shown = sync.OnceValue(func() string {
		_ = tty.Close()
		reading.Wait()
		return screen.String()
	})
	t.Cleanup(func() {
		shown()
		_ = keyboard.Close()
	})
	return &env{stdin: tty, stderr: &bytes.Buffer{}}, keyboard, shown
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func TestTypedSecretIsNotShown(t *testing.T) {
	e, keyboard, shown := terminal(t)
	typed := make(chan string, 1)
	go func() {
		line, err := e.ask(t.Context(), "secret: ")
		if err != nil {
			t.Error(err)
		}
		typed <- string(line)
	}()
	until(t, "silence", 30*time.Second, func() bool { return !echoes(t, e.stdin) })
	if _, err := keyboard.WriteString("s3cret\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-typed; got != "s3cret" {
		t.Fatalf("%q", got)
	}
	if !echoes(t, e.stdin) {
		t.Error("the terminal was left without its echo")
	}
	if got := shown(); strings.Contains(got, "s3cret") {
		t.Errorf("shown: %q", got)
	}
}

func TestInterruptedQuestionGivesTheTerminalItsEchoBack(t *testing.T) {
	e, keyboard, _ := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := e.ask(ctx, "secret: ")
		failed <- err
	}()
	until(t, "silence", 30*time.Second, func() bool { return !echoes(t, e.stdin) })
	cancel()
	if err := <-failed; err == nil {
		t.Error("no error")
	}
	if !echoes(t, e.stdin) {
		t.Error("the terminal was left without its echo")
	}
	_, _ = keyboard.WriteString("\n") // lets the reader go
}

func TestWrongEntryInTheKeyringLeadsToTheQuestion(t *testing.T) {
	e, k, stderr := remembering(t, "horse")
	if err := remember(t, e, "horse"); err != nil {
		t.Fatal(err)
	}
	for account := range k.entries {
		k.entries[account] = "donkey"
	}
	asking, keyboard, _ := terminal(t)
	e = later(e)
	e.stdin = asking.stdin
	opened := make(chan error, 1)
	go func() { opened <- unlock(t, e) }()
	until(t, "silence", 30*time.Second, func() bool { return !echoes(t, e.stdin) })
	if _, err := keyboard.WriteString("horse\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("%v: %s", err, stderr)
	}
}
