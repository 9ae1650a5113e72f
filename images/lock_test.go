package images

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

// The folder is everybody's: who makes the file first, and holds it, would have others wait.
func TestBuildDoesNotWaitForALockOfAnotherUser(t *testing.T) {
	require.Root(t)
	t.Setenv("TMPDIR", t.TempDir())
	name := filepath.Join(os.TempDir(), "av-build-av-x-1.lock")
	held, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := errors.Join(syscall.Flock(int(held.Fd()), syscall.LOCK_EX), held.Chown(1234, 1234)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lock(ctx, "av-x:1")()
	if ctx.Err() != nil {
		t.Error("it waited")
	}
	// Control: for one of its own it waits.
	if err := held.Chown(os.Geteuid(), os.Getegid()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 2*lockPause)
	defer cancel()
	lock(ctx, "av-x:1")()
	if ctx.Err() == nil {
		t.Error("control: it did not wait")
	}
}
