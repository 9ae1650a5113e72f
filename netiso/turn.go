package netiso

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	// turnPause is how often a start that waits looks for a free place.
	turnPause = 100 * time.Millisecond
	// turnPatience is how long it waits before it says so.
	turnPatience = 3 * time.Second
)

// turns is how many runs of one home are put up side by side. An engine makes networks
// one after another and gets no faster by being asked for more of them; what it has
// under way for a run that has died is made all the same, and has to be swept up.
func turns() int { return max(4, 2*runtime.NumCPU()) }

// AwaitTurn waits until few enough other runs of this home are being put up, and gives
// how to let the next one begin. A place is a lock: the kernel frees that of a process
// that dies.
func AwaitTurn(ctx context.Context, home string, waiting func()) (done func(), err error) {
	dir := filepath.Join(home, "turns")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for turns: %w", err)
	}
	n := turns()
	began, said := time.Now(), false
	tick := time.NewTicker(turnPause)
	defer tick.Stop()
	for {
		denied := 0
		for i, first := 0, rand.IntN(n); i < n; i++ {
			lock, err := lockFile(filepath.Join(dir, strconv.Itoa((first+i)%n)), os.O_CREATE)
			if err == nil {
				return func() { lock.Close() }, nil
			}
			// A place that root has made in a user's home is one that is taken.
			if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, fs.ErrPermission) {
				return nil, fmt.Errorf("wait for other runs to start: %w", err)
			}
			if errors.Is(err, fs.ErrPermission) {
				if denied++; denied == n {
					return nil, fmt.Errorf("wait for other runs to start: %w", err)
				}
			}
		}
		if !said && time.Since(began) > turnPatience {
			said = true
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
