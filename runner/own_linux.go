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

// Own makes what lies in a folder, or a file, and has changed since a moment the property
// of one user, without the right to run as its owner that a file may have been given. It is
// for what root in a box has left behind. Nothing is followed: each name is looked for in
// the folder that is open, what is found there is held while it is judged and given away,
// a link is given away itself, and another file system is not entered. A path that leads to
// something else than what it led to before the run is refused: whose that is, nobody asked.
func Own(ctx context.Context, path string, to Owned, since time.Time) error {
	h, err := hold(unix.AT_FDCWD, path)
	if err != nil {
		return fmt.Errorf("open what is to be given back: %w", err)
	}
	if uint64(h.stat.Dev) != to.Dev || h.stat.Ino != to.Ino { //nolint:unconvert // another width elsewhere
		unix.Close(h.fd)
		return errors.New("it is not what was there when the run began")
	}
	o := owning{ctx: ctx, to: to, since: since}
	o.fail(o.give(h, path, 0))
	return errors.Join(o.failed...)
}

// held is something in a file system that stays the same whatever its name comes to mean.
type held struct {
	fd   int
	stat unix.Stat_t
}

// hold takes hold of what a name in a folder stands for, be it a link or a pipe.
func hold(dir int, name string) (h held, err error) {
	if h.fd, err = unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
		return h, err
	}
	if err = unix.Fstat(h.fd, &h.stat); err != nil {
		unix.Close(h.fd)
	}
	return h, err
}

type owning struct {
	ctx    context.Context
	to     Owned
	since  time.Time
	failed []error
}

// maxOwnErrors is how many failures are told; more say nothing more.
const maxOwnErrors = 8

func (o *owning) fail(err error) {
	if err != nil && len(o.failed) < maxOwnErrors {
		o.failed = append(o.failed, err)
	}
}

// give gives away what is held, lets go of it, and sees to what is in it.
func (o *owning) give(h held, path string, depth int) error {
	err := o.take(h)
	var dir *os.File
	if err == nil && h.stat.Mode&unix.S_IFMT == unix.S_IFDIR && uint64(h.stat.Dev) == o.to.Dev { //nolint:unconvert
		var fd int
		if fd, err = unix.Openat(h.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			dir = os.NewFile(uintptr(fd), path)
			defer dir.Close()
		}
	}
	unix.Close(h.fd)
	switch {
	case err != nil:
		return ignoreGone(fmt.Errorf("%s: %w", path, err))
	case dir == nil:
		return nil
	case depth > maxOwnDepth:
		return fmt.Errorf("%s: more than %d folders deep", path, maxOwnDepth)
	}
	for o.ctx.Err() == nil {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			o.fail(o.entry(dir, name, filepath.Join(path, name), depth+1))
		}
		if err != nil { // io.EOF, or what keeps the rest from being read
			return nil
		}
	}
	return o.ctx.Err()
}

func (o *owning) entry(dir *os.File, name, path string, depth int) error {
	h, err := hold(int(dir.Fd()), name)
	if err != nil {
		return ignoreGone(fmt.Errorf("%s: %w", path, err))
	}
	return o.give(h, path, depth)
}

// take gives one thing to the user if it has changed and there is something to give. The
// kernel takes set-user-id and set-group-id off whatever changes hands, as it does here
// where only those are to go.
func (o *owning) take(h held) error {
	if !needsOwner(h.stat.Uid, h.stat.Mode, time.Unix(h.stat.Ctim.Unix()), o.to.UID, o.since) {
		return nil
	}
	gid := o.to.GID
	if int(h.stat.Uid) == o.to.UID {
		gid = -1
	}
	return unix.Fchownat(h.fd, "", o.to.UID, gid, unix.AT_EMPTY_PATH)
}

// needsOwner tells whether an entry is one that root in the box has left as it is. The
// time of its last change is the kernel's, and nobody in the box can set it. Where the user
// is root, others' files stay theirs, as long as they run with nobody's rights.
func needsOwner(owner, mode uint32, changed time.Time, uid int, since time.Time) bool {
	runsAsOwner := mode&unix.S_IFMT == unix.S_IFREG && mode&(unix.S_ISUID|unix.S_ISGID) != 0
	return !changed.Before(since) && (uid != 0 && int(owner) != uid || runsAsOwner)
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
