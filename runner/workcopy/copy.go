// Package workcopy makes the copy of a workspace that an agent works on, and brings what it
// changed there back, when its owner says so. The agent has written all of the copy: no
// link in it is followed, no program reads it, and nothing of it is taken for anything but
// bytes and names.
package workcopy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/av-project/av/runner/nofollow"
)

// What a workspace may have to be copied, and a copy to be looked at.
const (
	// maxEntries is how many files and folders.
	maxEntries = 500_000
	// maxNames is how long their paths, and what links say, may be together, in bytes.
	maxNames = 256 << 20
	// maxDepth is how deep folders may lie in each other. They can without end, and each has
	// a longer path than the one that it is in.
	maxDepth = 128
)

// Entry is one file, folder or link of a tree.
type Entry struct {
	Kind nofollow.Kind
	Perm fs.FileMode
	Sum  string // of a file; empty: it was not read, for no other has its size
	Link string // where a link leads
	Size int64
	// Ino and Changed are of the copy: what has both as before is as before, and need not
	// be read again. No program sets a file's change time back.
	Ino, Changed int64
}

// same tells whether two are the same to their owner.
func (e Entry) same(o Entry) bool {
	return e.Kind == o.Kind && e.Size == o.Size && e.Sum == o.Sum && e.Link == o.Link && (e.Kind == nofollow.Link || e.Perm == o.Perm)
}

// Tree is what lies below a folder, by path.
type Tree map[string]Entry

// extent is how much of a tree was met.
type extent struct{ entries, names int }

func (x *extent) meet(at string) error {
	x.entries++
	x.names += len(at)
	switch {
	case x.entries > maxEntries:
		return &tooLarge{fmt.Sprintf("more than %d files and folders", maxEntries)}
	case x.names > maxNames:
		return &tooLarge{fmt.Sprintf("more than %d bytes of names", maxNames)}
	case strings.Count(at, "/") > maxDepth:
		return &tooLarge{fmt.Sprintf("folders that lie more than %d deep in each other: %s", maxDepth, nofollow.Shown(at[:60]+"..."))}
	}
	return nil
}

// taker copies a tree.
type taker struct {
	ctx      context.Context
	uid, gid int // whose the copies are; -1: ours
	tree     Tree
	extent   extent
	skipped  int
}

// Take copies the folder at from, whose path is folder, for a run. What is neither a file
// nor a folder nor a link is left out. The copies belong to uid and gid.
func Take(ctx context.Context, home, run, folder, command string, from *nofollow.Dir, uid, gid int) (c *Copy, skipped int, err error) {
	made := &Copy{Dir: filepath.Join(Dir(home), run), Base: Base{Format: format, Run: run, Folder: folder, Command: command, Made: now()}}
	if err := os.MkdirAll(Dir(home), 0o700); err != nil {
		return nil, 0, fmt.Errorf("make the folder for copies: %w", err)
	}
	if err := os.Mkdir(made.Dir, 0o700); err != nil {
		return nil, 0, fmt.Errorf("make the copy's folder: %w", err)
	}
	t := &taker{ctx: ctx, uid: uid, gid: gid, tree: Tree{}}
	if err := t.take(made, from); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = &notReadable{err}
		}
		return nil, 0, errors.Join(fmt.Errorf("copy the workspace: %w", err), made.Remove())
	}
	return made, t.skipped, nil
}

func (t *taker) take(made *Copy, from *nofollow.Dir) error {
	if err := os.Mkdir(made.Tree(), 0o700); err != nil {
		return err
	}
	to, err := nofollow.Open(made.Tree())
	if err != nil {
		return err
	}
	defer to.Close()
	if os.Getuid() != 0 {
		t.uid, t.gid = -1, -1
	} else if err := os.Chown(made.Tree(), t.uid, t.gid); err != nil {
		return err
	}
	top, err := from.Stat()
	if err != nil {
		return err
	}
	if err := t.folder("", from, to); err != nil {
		return err
	}
	made.Base.Dev, made.Base.Ino, made.Base.Tree, made.loaded = top.Dev, top.Ino, t.tree, true
	return made.write()
}

// folder copies what is in one folder into another; name is what both are below their roots.
func (t *taker) folder(name string, from, to *nofollow.Dir) error {
	if err := t.ctx.Err(); err != nil {
		return context.Cause(t.ctx)
	}
	names, err := entries(from, "")
	if err != nil {
		return at(name, err)
	}
	for _, n := range names {
		whole := path.Join(name, n)
		if err := t.extent.meet(whole); err != nil {
			return err
		}
		if err := t.entry(whole, n, from, to); err != nil {
			return err
		}
	}
	return nil
}

// at names in an error the whole path of what it is about.
func at(name string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok && name != "" {
		p.Path = nofollow.Shown(name)
	}
	return err
}

// entries lists a folder in order.
func entries(root *nofollow.Dir, name string) ([]string, error) {
	dir, err := root.Dir(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	list, more, err := dir.List(maxEntries)
	if more {
		return nil, &tooLarge{fmt.Sprintf("more than %d files and folders", maxEntries)}
	}
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.Name
	}
	slices.Sort(names)
	return names, err
}

func (t *taker) entry(whole, name string, from, to *nofollow.Dir) error {
	i, err := from.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went just now
	}
	if err != nil {
		return at(whole, err)
	}
	e := Entry{Kind: i.Kind, Perm: i.Perm}
	switch i.Kind {
	case nofollow.Folder:
		if err := t.enter(whole, name, from, to); err != nil {
			return err
		}
		// Its own mode comes last: it may be one that lets nobody write.
		err = to.Chmod(name, i.Perm)
	case nofollow.Link:
		if e.Link, err = from.Readlink(name); err == nil {
			t.extent.names += len(e.Link)
			err = to.Symlink(e.Link, name)
		}
	case nofollow.File:
		e.Sum, err = copyFile(t.ctx, from, name, to, name, i.Perm)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	default:
		t.skipped++
		return nil
	}
	if err == nil && t.uid >= 0 {
		err = to.Chown(name, t.uid, t.gid)
	}
	if err == nil {
		err = to.Touch(name, i)
	}
	if err != nil {
		return at(whole, err)
	}
	made, err := to.Lstat(name)
	e.Ino, e.Changed = int64(made.Ino), made.Changed.UnixNano()
	if e.Kind == nofollow.File {
		e.Size = made.Size
	}
	t.tree[whole] = e
	return err
}

func (t *taker) enter(whole, name string, from, to *nofollow.Dir) error {
	if err := to.Mkdir(name, 0o700); err != nil {
		return at(whole, err)
	}
	into, err := to.Dir(name)
	if err != nil {
		return at(whole, err)
	}
	defer into.Close()
	out, err := from.Dir(name)
	if err != nil {
		return at(whole, err)
	}
	defer out.Close()
	return t.folder(whole, out, into)
}

// copyFile makes a file with the content of another and gives its digest. Where the file
// system can, the two share their blocks until one is written.
func copyFile(ctx context.Context, from *nofollow.Dir, name string, to *nofollow.Dir, as string, perm fs.FileMode) (sum string, err error) {
	in, i, err := from.Open(name)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := to.Create(as, 0o600)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	var w io.Writer = h
	if clone(out, in) != nil {
		w = io.MultiWriter(h, out)
		err = room(out, name, i.Size)
	}
	if err == nil {
		_, err = io.Copy(w, reader{ctx, in})
	}
	if err == nil {
		err = out.Chmod(perm)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), errors.Join(err, out.Close())
}

// room refuses a file that is larger than what is free where it would go, before it fills
// that up.
func room(out *os.File, name string, size int64) error {
	var st unix.Statfs_t
	if unix.Fstatfs(int(out.Fd()), &st) == nil && uint64(st.Bavail)*uint64(st.Bsize) < uint64(size) {
		return &fs.PathError{Op: "copy", Path: nofollow.Shown(name), Err: unix.ENOSPC}
	}
	return nil
}

// tooLarge is a tree that has too much in it.
type tooLarge struct{ what string }

func (t *tooLarge) Error() string { return "it has " + t.what }
func (*tooLarge) Hint() string    { return "use --workspace=bind or ro, or run av in a smaller folder" }

// notReadable is a workspace with something in it that its copier may not read.
type notReadable struct{ error }

func (n *notReadable) Unwrap() error { return n.error }
func (*notReadable) Hint() string {
	return "make it readable for you (`sudo chown`), or use --workspace=bind or ro"
}
