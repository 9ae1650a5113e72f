package runner

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// interrupted is a start that a signal ended.
type interrupted struct{ signal os.Signal }

func (i *interrupted) Error() string {
	return fmt.Sprintf("stopped by %v before the command ran", i.signal)
}

// CommandExit is what a shell says of a command that a signal ended.
func (i *interrupted) CommandExit() int {
	if s, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return 125
}

// interruptible cancels the start when a signal comes, until the function it gives
// is called; from then on signals are the command's.
func interruptible(signals <-chan os.Signal, suspend func(), cancel context.CancelCauseFunc) (started func()) {
	stop := make(chan struct{})
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case s := <-signals:
				switch s {
				case syscall.SIGWINCH, syscall.SIGCONT:
					continue
				case syscall.SIGTSTP:
					if suspend != nil {
						suspend()
					}
					continue
				}
				cancel(&interrupted{s})
				return
			case <-stop:
				return
			}
		}
	})
	return func() {
		close(stop)
		listening.Wait()
	}
}

// signalName is what an engine calls a signal that is passed on to a command, and
// whether it is one.
func signalName(s os.Signal) (string, bool) {
	name, ok := map[os.Signal]string{
		syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM", syscall.SIGHUP: "SIGHUP",
		syscall.SIGKILL: "SIGKILL", // of `av stop`: no process is sent it and lives to pass it on
		syscall.SIGQUIT: "SIGQUIT", syscall.SIGUSR1: "SIGUSR1", syscall.SIGUSR2: "SIGUSR2",
	}[s]
	return name, ok
}

// killAfter is the how-manieth signal of one kind that kills the command instead of
// asking it once more.
const killAfter = 3
