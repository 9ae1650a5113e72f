package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// maxOwnDepth is how many folders within each other are walked through. Each is open
// while those in it are looked at.
const maxOwnDepth = 1000

// Own makes what lies in a folder and has changed since a moment the property of one user,
// without the right to run as its owner that a file may have been given. It is for what
// root in a box has left in the workspace. Nothing is followed: a link is given away
// itself, each name is looked for in the folder that is open, and another file system is
// not entered. Nobody else's process changes the tree meanwhile but the host's own.
func Own(ctx context.Context, dir string, uid, gid int, since time.Time) error {
	root, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open the workspace: %w", err)
	}
	defer root.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &stat); err != nil {
		return fmt.Errorf("look at the workspace: %w", err)
	}
	o := owning{ctx: ctx, uid: uid, gid: gid, since: since, device: uint64(stat.Dev)} //nolint:unconvert // another width elsewhere
	if err := o.take(root, "."); err != nil {
		return err
	}
	o.folder(root, dir, 0)
	return errors.Join(o.failed...)
}

type owning struct {
	ctx      context.Context
	uid, gid int
	since    time.Time
	device   uint64
	failed   []error
}

// maxOwnErrors is how many failures are told; more say nothing more.
const maxOwnErrors = 8

func (o *owning) fail(err error) {
	if err != nil && len(o.failed) < maxOwnErrors {
		o.failed = append(o.failed, err)
	}
}

func (o *owning) folder(dir *os.File, path string, depth int) {
	for o.ctx.Err() == nil {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			o.fail(o.entry(dir, name, filepath.Join(path, name), depth))
		}
		if err != nil { // io.EOF, or what keeps the rest from being read
			return
		}
	}
	o.fail(o.ctx.Err())
}

func (o *owning) entry(dir *os.File, name, path string, depth int) error {
	if err := o.take(dir, name); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var stat unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ignoreGone(err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR || uint64(stat.Dev) != o.device { //nolint:unconvert
		return nil
	}
	if depth == maxOwnDepth {
		return fmt.Errorf("%s: more than %d folders deep", path, maxOwnDepth)
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return ignoreGone(fmt.Errorf("%s: %w", path, err))
	}
	sub := os.NewFile(uintptr(fd), path)
	defer sub.Close()
	o.folder(sub, path, depth+1)
	return nil
}

// take gives one entry to the user if it has changed and there is something to give. The
// kernel takes set-user-id and set-group-id off whatever changes hands, as it does here
// where only those are to go.
func (o *owning) take(dir *os.File, name string) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ignoreGone(err)
	}
	if !needsOwner(stat.Uid, stat.Mode, time.Unix(stat.Ctim.Unix()), o.uid, o.since) {
		return nil
	}
	gid := o.gid
	if int(stat.Uid) == o.uid {
		gid = -1
	}
	return ignoreGone(unix.Fchownat(int(dir.Fd()), name, o.uid, gid, unix.AT_SYMLINK_NOFOLLOW))
}

// needsOwner tells whether an entry is one that root in the box has left as it is. The
// time of its last change is the kernel's, and nobody in the box can set it.
func needsOwner(owner, mode uint32, changed time.Time, uid int, since time.Time) bool {
	runsAsOwner := mode&unix.S_IFMT == unix.S_IFREG && mode&(unix.S_ISUID|unix.S_ISGID) != 0
	return !changed.Before(since) && (int(owner) != uid || runsAsOwner)
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
