package nofollow

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// passOnly opens a folder to pass through: it need not be readable.
const passOnly = unix.O_PATH

// chmod sets the mode of a folder. It goes by the kernel's own name for what was opened, for
// to be set by its number a folder would have to be readable.
func chmod(parent *Dir, base string, perm uint32) error {
	dir, err := parent.open(base, passOnly)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", dir.fd), perm)
}

func exchange(at int, base string, there int, name string) error {
	return unix.Renameat2(at, base, there, name, unix.RENAME_EXCHANGE)
}
