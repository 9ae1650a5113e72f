//go:build unix

package store

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkAccess refuses a file or folder of the vault that somebody else owns, that
// others may write, or, for a file, that others may read: they could have changed
// what we are about to trust. A folder that others can list tells them nothing.
func checkAccess(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	forbidden, want := fs.FileMode(0o022), "go-w"
	if !info.IsDir() {
		forbidden, want = 0o077, "600"
	}
	if loose := info.Mode().Perm() & forbidden; loose != 0 {
		return &accessError{fmt.Sprintf("others may use %s: its mode is %04o", path, info.Mode().Perm()),
			fmt.Sprintf("chmod %s '%s'", want, path)}
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() {
		return &accessError{fmt.Sprintf("%s belongs to uid %d, and this is uid %d", path, owner, os.Geteuid()),
			"run av as that user, or set AV_HOME to a folder of your own"}
	}
	return nil
}

// lockFolder holds a folder for this process until unlock. The kernel
// lets go when the process dies, so nothing stale stays behind.
func lockFolder(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		_ = dir.Close()
		return nil, fmt.Errorf("lock %s: %w", dir.Name(), err)
	}
	return func() { _ = dir.Close() }, nil
}
