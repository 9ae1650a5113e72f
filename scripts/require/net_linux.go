package require

import (
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// probeNet makes a network namespace on a thread that ends with it: root inside a container may lack the right.
var probeNet = sync.OnceValue(func() string {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread and its namespace end with this goroutine
		done <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	if err := <-done; err != nil {
		return fmt.Sprintf("cannot make a network namespace: %v", err)
	}
	return ""
})
