package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// execTimeout bounds a command; killGrace is for what it leaves behind with its output open.
	execTimeout = 30 * time.Second
	killGrace   = time.Second
)

// masterPassword is what a command must not inherit. av takes it out of its environment
// before anything else; a program that forgot to is no way to it either.
const masterPassword = "AV_MASTER_PASSWORD"

var errTooMuch = fmt.Errorf("more than a credential may hold, %d KiB", maxValue>>10)

// fetch gets the value. Its errors hold a variable's or a file's name, and of a command
// nothing at all: neither its output nor itself, which may have a secret in it.
func (r Reference) fetch(ctx context.Context, getenv func(string) string) (b []byte, err error) {
	switch r.Kind {
	case refEnv:
		b = []byte(getenv(r.Target))
		if len(b) == 0 {
			return nil, &problem{"the environment variable " + r.Target + " is not set", "set it where av runs"}
		}
		return b, limit(b)
	case refFile:
		b, err = r.readFile(getenv)
	case refExec:
		b, err = r.run(ctx)
	default:
		return nil, errNotAReference
	}
	if err != nil {
		return nil, err
	}
	if line, ok := bytes.CutSuffix(b, []byte{'\n'}); ok {
		b = bytes.TrimSuffix(line, []byte{'\r'})
	}
	if len(b) == 0 {
		return nil, &problem{"what the reference names is empty", "it must give the value of the credential"}
	}
	return b, nil
}

func limit(b []byte) error {
	if len(b) > maxValue {
		clear(b)
		return errTooMuch
	}
	return nil
}

func (r Reference) readFile(getenv func(string) string) ([]byte, error) {
	path := r.Target
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return nil, &problem{"there is no home folder to find " + path + " in", "set HOME, or write the whole path"}
		}
		path = filepath.Join(home, rest)
	}
	// Not blocking: a named pipe without a writer would never open.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, unreadable(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, unreadable(&fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")})
	}
	// One line break more than a value may have.
	b, err := io.ReadAll(io.LimitReader(f, maxValue+2+1))
	if err != nil {
		clear(b)
		return nil, unreadable(err)
	}
	return b, withinLines(b)
}

// withinLines is limit for what may have a line break at its end.
func withinLines(b []byte) error {
	if len(bytes.TrimSuffix(bytes.TrimSuffix(b, []byte{'\n'}), []byte{'\r'})) > maxValue {
		clear(b)
		return errTooMuch
	}
	return nil
}

func unreadable(err error) error {
	return &problem{"cannot read the referenced file: " + err.Error(), "make it readable for you, or set the credential anew"}
}

// run runs the command in a session of its own: it can ask nobody anything, and dies whole.
func (r Reference) run(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", r.Target)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, masterPassword+"=") })
	out := &bounded{full: cancel}
	cmd.Stdout = out // stdin and stderr are /dev/null
	cmd.WaitDelay = killGrace
	alone(cmd)
	err := cmd.Run()
	if err == nil {
		err = withinLines(out.b)
	}
	if err == nil {
		return out.b, nil
	}
	clear(out.b)
	const hint = "run the command by hand, with `</dev/null`, to see what it says"
	var exit *exec.ExitError
	switch {
	case out.over, errors.Is(err, errTooMuch):
		return nil, &problem{"the reference's command printed " + errTooMuch.Error(), hint}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &problem{fmt.Sprintf("the reference's command did not end within %v", execTimeout), hint}
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &exit):
		return nil, &problem{"the reference's command failed: " + exit.ProcessState.String(), hint}
	case errors.Is(err, exec.ErrWaitDelay):
		kill(cmd)
		return nil, &problem{"the reference's command left a process behind that holds its output", hint}
	}
	return nil, &problem{"cannot run the reference's command", "there must be a /bin/sh"}
}

// bounded keeps what a command prints, up to what a credential may hold, and ends the
// command that prints more.
type bounded struct {
	b    []byte
	over bool
	full func()
}

func (w *bounded) Write(p []byte) (int, error) {
	if len(w.b)+len(p) > maxValue+2 {
		w.over = true
		w.full()
		return 0, errTooMuch
	}
	if w.b == nil {
		w.b = make([]byte, 0, maxValue+2) // grown once: no copies stay behind
	}
	w.b = append(w.b, p...)
	return len(p), nil
}
