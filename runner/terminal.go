package runner

import (
	"fmt"
	"os"

	"github.com/moby/term"
)

// terminal tells whether a person sits at both ends of the command.
func (s Streams) terminal() bool {
	out, ok := s.Out.(*os.File)
	return ok && term.IsTerminal(s.In.Fd()) && term.IsTerminal(out.Fd())
}

// raw hands every key to the command, Ctrl-C too, and gives how to take the
// terminal back.
func (s Streams) raw() (restore func(), err error) {
	if !s.terminal() {
		return func() {}, nil
	}
	before, err := term.SetRawTerminal(s.In.Fd())
	if err != nil {
		return nil, fmt.Errorf("take over the terminal: %w", err)
	}
	return func() { _ = term.RestoreTerminal(s.In.Fd(), before) }, nil
}

// size gives the terminal's size in characters.
func (s Streams) size() (width, height uint16, ok bool) {
	if !s.terminal() {
		return 0, 0, false
	}
	size, err := term.GetWinsize(s.In.Fd())
	if err != nil {
		return 0, 0, false
	}
	return size.Width, size.Height, true
}
