package runner

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Farewell is what the watchdog reads when its run took itself apart. Any other end
// of its input means that the run's process has died.
const Farewell = "done\n"

// watch starts the watchdog for a run, and gives how to dismiss it. The pipe's other
// end is this process's alone: the kernel closes it when the process dies, however
// it dies.
func watch(start func(string, *os.File) (*os.Process, error), run string) (dismiss func(context.Context) error, err error) {
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
	return func(context.Context) error {
		// A watchdog that has died before needs no farewell.
		_, _ = io.WriteString(ours, Farewell)
		err := ours.Close()
		if err == nil {
			_, err = process.Wait()
		}
		if err != nil {
			return fmt.Errorf("dismiss the watchdog: %w", err)
		}
		return nil
	}, nil
}

// AwaitRunEnd is the watchdog's wait: it returns true when the run's process died
// without a farewell.
func AwaitRunEnd(alive io.Reader) (died bool) {
	said, _ := io.ReadAll(io.LimitReader(alive, int64(len(Farewell))))
	return string(said) != Farewell
}
