package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// suspendPatience is how long to wait for a stop that does not come: the kernel stops
// nobody who has no shell to let them go on.
const suspendPatience = 500 * time.Millisecond

// suspend stops this process as it would have been without us in the way of the signal,
// and returns when it goes on.
func suspend(signals chan os.Signal) {
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	signal.Reset(syscall.SIGTSTP)
	defer signal.Notify(signals, syscall.SIGTSTP)
	if syscall.Kill(os.Getpid(), syscall.SIGTSTP) != nil {
		return
	}
	timer := time.NewTimer(suspendPatience)
	defer timer.Stop()
	select {
	case <-resumed:
	case <-timer.C:
	}
}
