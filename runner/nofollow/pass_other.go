//go:build !linux

package nofollow

import "golang.org/x/sys/unix"

// passOnly: other systems want to read what they pass through.
const passOnly = 0

func chmod(parent *Dir, base string, perm uint32) error {
	return unix.Fchmodat(parent.fd, base, perm, unix.AT_SYMLINK_NOFOLLOW)
}

func exchange(int, string, int, string) error { return ErrExchange }
