package runner

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/moby/term"
)

// terminal tells whether a person sits at both ends of the command.
func (s Streams) terminal() bool {
	if s.Console != nil {
		return s.Console.TTY()
	}
	out, ok := s.Out.(*os.File)
	return ok && term.IsTerminal(s.In.Fd()) && term.IsTerminal(out.Fd())
}

// raw hands every key to the command, Ctrl-C too. Where there is no terminal of ours,
// there is nothing to take, and nil.
func (s Streams) raw() (*Terminal, error) {
	if s.Console != nil || !s.terminal() {
		return nil, nil
	}
	return TakeTerminal(s.In)
}

// size gives the terminal's size in characters.
func (s Streams) size() (width, height uint16, ok bool) {
	if !s.terminal() {
		return 0, 0, false
	}
	if s.Console != nil {
		width, height = s.Console.Size()
		return width, height, width > 0 && height > 0
	}
	size, err := term.GetWinsize(s.In.Fd())
	if err != nil {
		return 0, 0, false
	}
	return size.Width, size.Height, true
}

// Terminal is ours while a command has all of its keys.
type Terminal struct {
	file *os.File
	// broken is told of a write that nobody reads, as in `av attach RUN | head`: who does not
	// ask to be told is ended by it, with the terminal as it is.
	broken chan os.Signal

	mu     sync.Mutex
	before *term.State // nil: it is as it was
}

// TakeTerminal hands every key that is typed to whoever reads file.
func TakeTerminal(file *os.File) (*Terminal, error) {
	t := &Terminal{file: file, broken: make(chan os.Signal, 1)}
	return t, t.Take()
}

// Take takes it over, or again: after a stop, the shell has given it other manners.
func (t *Terminal) Take() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before, err := term.SetRawTerminal(t.file.Fd())
	if err != nil {
		return fmt.Errorf("take over the terminal: %w", err)
	}
	if t.before == nil {
		t.before = before
	}
	signal.Notify(t.broken, syscall.SIGPIPE)
	return nil
}

// Release gives the terminal back as it was.
func (t *Terminal) Release() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before != nil {
		_ = term.RestoreTerminal(t.file.Fd(), t.before)
		t.before = nil
	}
	signal.Stop(t.broken)
}

// Suspend stops this process with suspend, and has the terminal as it was meanwhile:
// the shell that one comes back to needs its keys.
func (t *Terminal) Suspend(suspend func()) error {
	if suspend == nil {
		return nil
	}
	t.Release()
	suspend()
	return t.Take()
}
