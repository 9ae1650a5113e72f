package runner

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// Farewell is what the watchdog reads when its run took itself apart. Any other end
// of its input means that the run's process has died, or could not.
const Farewell = "done\n"

// watchdogPatience is how long the watchdog may take to go when it is told to.
const watchdogPatience = 5 * time.Second

// watchdog is the process beside a run that takes it apart when this one dies.
type watchdog struct {
	process *os.Process
	// alive is the pipe's end that is this process's alone: the kernel closes it when
	// the process ends, however it ends.
	alive    *os.File
	patience time.Duration // watchdogPatience
}

// watch starts the watchdog for a run.
func watch(start func(string, *os.File) (*os.Process, error), run string) (*watchdog, error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	defer theirs.Close()
	process, err := start(run, theirs)
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return &watchdog{process, ours, watchdogPatience}, nil
}

// dismiss sends the watchdog away: there is nothing left to do.
func (w *watchdog) dismiss() error {
	if w == nil {
		return nil
	}
	// A watchdog that has died before needs no farewell.
	_, _ = io.WriteString(w.alive, Farewell)
	if err := w.alive.Close(); err != nil {
		return fmt.Errorf("dismiss the watchdog: %w", err)
	}
	gone := make(chan error, 1)
	go func() {
		_, err := w.process.Wait()
		gone <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), w.patience)
	defer cancel()
	select {
	case err := <-gone:
		if err != nil {
			return fmt.Errorf("wait for the watchdog: %w", err)
		}
		return nil
	case <-ctx.Done():
		// Stopped, most likely. It is of no use to anybody any more.
		return w.process.Kill()
	}
}

// abandon leaves what there is to the watchdog.
func (w *watchdog) abandon() {
	if w != nil {
		_ = w.alive.Close() // closing says it all
	}
}

// AwaitRunEnd is the watchdog's wait: it returns true when there is a run to take
// apart.
func AwaitRunEnd(alive io.Reader) (died bool) {
	said, _ := io.ReadAll(io.LimitReader(alive, int64(len(Farewell))))
	return string(said) != Farewell
}
