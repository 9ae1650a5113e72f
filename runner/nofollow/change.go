package nofollow

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Mkdir makes a folder below d.
func (d *Dir) Mkdir(name string, perm fs.FileMode) error {
	return d.in("mkdir", name, func(at int, base string) error { return unix.Mkdirat(at, base, uint32(perm.Perm())) })
}

// Create makes a file below d, which must not be there.
func (d *Dir) Create(name string, perm fs.FileMode) (f *os.File, err error) {
	err = d.in("create", name, func(at int, base string) error {
		fd, err := retry(func() (int, error) {
			return unix.Openat(at, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm.Perm()))
		})
		if err == nil {
			f = os.NewFile(uintptr(fd), name)
		}
		return err
	})
	return f, err
}

// Symlink makes a link below d.
func (d *Dir) Symlink(target, name string) error {
	return d.in("symlink", name, func(at int, base string) error { return unix.Symlinkat(target, at, base) })
}

// Rename moves what is at from, in d, to another name in another folder. A link is moved,
// not followed.
func (d *Dir) Rename(from string, other *Dir, to string) error {
	return d.in("rename", from, func(at int, base string) error {
		return other.in("rename", to, func(there int, name string) error { return unix.Renameat(at, base, there, name) })
	})
}

// Remove removes a file or a link below d.
func (d *Dir) Remove(name string) error {
	return d.in("remove", name, func(at int, base string) error { return unix.Unlinkat(at, base, 0) })
}

// Rmdir removes an empty folder below d.
func (d *Dir) Rmdir(name string) error {
	return d.in("rmdir", name, func(at int, base string) error { return unix.Unlinkat(at, base, unix.AT_REMOVEDIR) })
}

// Exchange lets what is at two names below d take each other's place, in one step: at no moment
// is one of the two missing. It fails with ErrExchange where a file system cannot do that.
func (d *Dir) Exchange(one, other string) error {
	return d.in("exchange", one, func(at int, base string) error {
		return d.in("exchange", other, func(there int, name string) error {
			err := exchange(at, base, there, name)
			if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
				err = ErrExchange
			}
			return err
		})
	})
}

// ErrExchange says that a file system has no way to exchange two files in one step.
var ErrExchange = errors.New("the file system cannot exchange two files")

// Chmod sets the mode of a folder below d, which must not be a link. It may be one that nobody
// can read or enter.
func (d *Dir) Chmod(name string, perm fs.FileMode) error {
	parent, base, err := d.parent(name)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := chmod(parent, base, uint32(perm.Perm())); err != nil {
		return failed("chmod", name, err)
	}
	return nil
}

// Chown gives what is at name, a link itself among it, to another owner.
func (d *Dir) Chown(name string, uid, gid int) error {
	return d.in("chown", name, func(at int, base string) error {
		return unix.Fchownat(at, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// Touch sets the time at which what is at name was modified, a link itself among it.
func (d *Dir) Touch(name string, i Info) error {
	return d.in("touch", name, func(at int, base string) error {
		t := unix.NsecToTimespec(i.Modified.UnixNano())
		return unix.UtimesNanoAt(at, base, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (d *Dir) in(op, name string, do func(at int, base string) error) error {
	parent, base, err := d.parent(name)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := do(parent.fd, base); err != nil {
		return failed(op, name, err)
	}
	return nil
}
