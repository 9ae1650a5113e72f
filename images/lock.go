package images

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lock keeps other starts of this user from building the same image at the same time.
// It saves work and nothing else depends on it, so that where it cannot be had (the
// file is another user's, say) the image is simply built.
func lock(ctx context.Context, tag string) (unlock func()) {
	name := filepath.Join(os.TempDir(), "av-build-"+strings.ReplaceAll(tag, ":", "-")+".lock")
	// O_NOFOLLOW: the folder is everybody's, and the name can be foretold.
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return func() {}
	}
	// Another user's is one that he may hold for ever, whoever waits.
	if info, err := f.Stat(); err != nil || !ours(info) {
		f.Close()
		return func() {}
	}
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			f.Close()
			return func() {}
		case <-tick.C:
		}
	}
	return func() { f.Close() }
}

// ours tells whether a file is this user's, and a file.
func ours(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(stat.Uid) == os.Geteuid()
}

// lockPause is how often a lock is asked for that somebody else holds.
const lockPause = 200 * time.Millisecond
