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

	"github.com/av-project/av/runner/nofollow"
)

// maxEntries is how many files and folders a workspace may have to be copied.
const maxEntries = 500_000

// Entry is one file, folder or link of a tree.
type Entry struct {
	Kind nofollow.Kind
	Perm fs.FileMode
	Sum  string // of a file
	Link string // where a link leads
	Size int64
	// Ino and Changed are of the copy: what has both as before is as before, and need not
	// be read again. No program sets a file's change time back.
	Ino, Changed int64
}

// same tells whether two are the same to their owner.
func (e Entry) same(o Entry) bool {
	return e.Kind == o.Kind && e.Sum == o.Sum && e.Link == o.Link && (e.Kind == nofollow.Link || e.Perm == o.Perm)
}

// Tree is what lies below a folder, by path.
type Tree map[string]Entry

// taker copies a tree.
type taker struct {
	ctx      context.Context
	from, to *nofollow.Dir
	uid, gid int // whose the copies are; -1: ours
	tree     Tree
	skipped  int
}

// Take copies the folder at from, whose path is folder, for a run. What is neither a file
// nor a folder nor a link is left out. The copies belong to uid and gid.
func Take(ctx context.Context, home, run, folder, command string, from *nofollow.Dir, uid, gid int) (c *Copy, skipped int, err error) {
	c = &Copy{Dir: filepath.Join(Dir(home), run), Base: Base{Format: format, Run: run, Folder: folder, Command: command, Made: now()}}
	if err := os.MkdirAll(Dir(home), 0o700); err != nil {
		return nil, 0, fmt.Errorf("make the folder for copies: %w", err)
	}
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		return nil, 0, fmt.Errorf("make the copy's folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Remove())
		}
	}()
	if err := os.Mkdir(c.Tree(), 0o700); err != nil {
		return nil, 0, fmt.Errorf("make the copy's folder: %w", err)
	}
	to, err := nofollow.Open(c.Tree())
	if err != nil {
		return nil, 0, err
	}
	defer to.Close()
	if os.Getuid() != 0 {
		uid, gid = -1, -1
	} else if err := os.Chown(c.Tree(), uid, gid); err != nil {
		return nil, 0, err
	}
	top, err := from.Stat()
	if err != nil {
		return nil, 0, err
	}
	c.Base.Dev, c.Base.Ino = top.Dev, top.Ino
	t := &taker{ctx, from, to, uid, gid, Tree{}, 0}
	if err := t.folder(""); err != nil {
		return nil, 0, fmt.Errorf("copy the workspace: %w", err)
	}
	c.Base.Tree = t.tree
	return c, t.skipped, c.write()
}

func (t *taker) folder(name string) error {
	if err := t.ctx.Err(); err != nil {
		return context.Cause(t.ctx)
	}
	names, err := entries(t.from, name)
	if err != nil {
		return err
	}
	for _, n := range names {
		if len(t.tree) >= maxEntries {
			return &tooLarge{}
		}
		if err := t.entry(path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
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
		return nil, &tooLarge{}
	}
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.Name
	}
	slices.Sort(names)
	return names, err
}

func (t *taker) entry(name string) error {
	i, err := t.from.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went just now
	}
	if err != nil {
		return err
	}
	e := Entry{Kind: i.Kind, Perm: i.Perm}
	switch i.Kind {
	case nofollow.Folder:
		// Its own mode comes last: it may be one that lets nobody write.
		err = t.to.Mkdir(name, 0o700)
		if err == nil {
			err = t.folder(name)
		}
		if err == nil {
			err = t.to.Chmod(name, i.Perm)
		}
	case nofollow.Link:
		if e.Link, err = t.from.Readlink(name); err == nil {
			err = t.to.Symlink(e.Link, name)
		}
	case nofollow.File:
		e.Size = i.Size
		e.Sum, err = copyFile(t.from, name, t.to, name, i.Perm)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	default:
		t.skipped++
		return nil
	}
	if err == nil && t.uid >= 0 {
		err = t.to.Chown(name, t.uid, t.gid)
	}
	if err == nil {
		err = t.to.Touch(name, i)
	}
	if err != nil {
		return err
	}
	made, err := t.to.Lstat(name)
	e.Ino, e.Changed = int64(made.Ino), made.Changed.UnixNano()
	t.tree[name] = e
	return err
}

// copyFile makes a file with the content of another and gives its digest. Where the file
// system can, the two share their blocks until one is written.
func copyFile(from *nofollow.Dir, name string, to *nofollow.Dir, as string, perm fs.FileMode) (sum string, err error) {
	in, _, err := from.Open(name)
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
	}
	_, err = io.Copy(w, in)
	if err == nil {
		err = out.Chmod(perm)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), errors.Join(err, out.Close())
}

type tooLarge struct{}

func (*tooLarge) Error() string {
	return fmt.Sprintf("it has more than %d files and folders", maxEntries)
}
func (*tooLarge) Hint() string { return "use --workspace=bind or ro, or run av in a smaller folder" }
