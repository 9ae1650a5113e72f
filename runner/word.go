package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/entry"
)

// word is the pipe through which a command that waits in its container is told that the
// walls are proved. It is held open by us alone: when we end without a word, the other side
// reads the end of it, and ends too.
type word struct{ pipe *os.File }

// awaitWord makes the agent's command wait for the word.
func (b *box) awaitWord() error {
	path := filepath.Join(b.lease.Dir, "word")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("make the pipe that the command waits at: %w", err)
	}
	// For reading too: to open it for writing alone waits for a reader.
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the pipe that the command waits at: %w", err)
	}
	// The command's user has no right to the folder, only to what is mounted into its box. Nor
	// have we any more, unless we are root: so it is open by now.
	if err := os.Chmod(path, 0o444); err != nil {
		return errors.Join(fmt.Errorf("make the pipe that the command waits at: %w", err), pipe.Close())
	}
	b.word = &word{pipe}
	b.undo.add(rankAgent, func(context.Context) error { return pipe.Close() })
	b.brought = append(b.brought, engine.Bind{Source: path, Target: entry.Word, ReadOnly: true})
	b.orders.Await = true
	return nil
}

// give lets the command start.
func (w *word) give() error {
	if w == nil {
		return nil
	}
	if _, err := w.pipe.Write([]byte{1}); err != nil {
		return fmt.Errorf("let the command start: %w", err)
	}
	return nil
}
