package workcopy

import (
	"crypto/rand"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/av-project/av/runner/nofollow"
)

const (
	format   = 2
	baseFile = "base"
)

var now = func() time.Time { return time.Now().UTC() }

// Base is what a workspace was when it was copied.
type Base struct {
	Format       int
	Run, Command string
	Folder       string
	Dev, Ino     uint64 // of the folder
	Made         time.Time
	Tree         Tree
}

// Copy is the copy of a workspace, in a folder of av's home.
type Copy struct {
	Dir string
	Base
	// Broken says why what was copied cannot be known: another av made the copy, perhaps. It
	// holds somebody's work all the same.
	Broken error

	loaded bool // the tree, too
}

// Dir is where a home keeps its copies.
func Dir(home string) string { return filepath.Join(home, "workspaces") }

// Tree is the folder that the agent works in.
func (c *Copy) Tree() string { return filepath.Join(c.Dir, "tree") }

// write keeps the base. A folder without one is a copy that was not finished.
func (c *Copy) write() (err error) {
	f, err := os.OpenFile(filepath.Join(c.Dir, ".new"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("note what was copied: %w", err)
	}
	// The head comes first, for lists to read no more.
	head, out := c.Base, gob.NewEncoder(f)
	head.Tree = nil
	err = errors.Join(out.Encode(head), out.Encode(c.Base.Tree), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.Dir, baseFile))
	}
	if err != nil {
		return fmt.Errorf("note what was copied: %w", err)
	}
	return nil
}

// Remove removes the copy. What it was copied from goes first: with that and half of the tree
// left, the other half would look as if the agent had removed it.
func (c *Copy) Remove() error {
	err := os.Remove(filepath.Join(c.Dir, baseFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		var home *nofollow.Dir
		if home, err = nofollow.Open(filepath.Dir(c.Dir)); err == nil {
			err = errors.Join(remove(home, filepath.Base(c.Dir)), home.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("remove the copy of run %s: %w", c.Run, err)
	}
	return nil
}

// maxAtOnce is how many names are listed at a time of what is removed.
const maxAtOnce = 10_000

// remove removes a folder below root with all that is in it. An agent can leave folders that
// may not be entered, which are opened first, and folders in each other without end: what lies
// in one is moved up before it goes, so that nothing lies deeper than that. No link is followed.
func remove(root *nofollow.Dir, name string) error {
	top, err := root.Dir(name)
	if err != nil {
		return err
	}
	defer top.Close()
	for {
		names, _, err := top.List(maxAtOnce)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return root.Rmdir(name)
		}
		for _, n := range names {
			if n.Kind == nofollow.Folder {
				err = moveUp(top, n.Name)
			} else {
				err = top.Remove(n.Name)
			}
			if err != nil {
				return err
			}
		}
	}
}

// moveUp removes a folder below root, whose own folders come to lie in root.
func moveUp(root *nofollow.Dir, name string) error {
	if err := root.Chmod(name, 0o700); err != nil {
		return err
	}
	dir, err := root.Dir(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, _, err := dir.List(maxAtOnce)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return root.Rmdir(name)
		}
		for _, n := range names {
			if n.Kind != nofollow.Folder {
				err = dir.Remove(n.Name)
			} else if err = dir.Chmod(n.Name, 0o700); err == nil {
				err = dir.Rename(n.Name, root, rand.Text())
			}
			if err != nil {
				return err
			}
		}
	}
}

// List gives the copies of a home, the oldest first, without what is in them; and the
// folders of copies that were not finished.
func List(home string) (copies []*Copy, unfinished []string, err error) {
	dirs, err := os.ReadDir(Dir(home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list copies: %w", err)
	}
	for _, d := range dirs {
		c, err := read(filepath.Join(Dir(home), d.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			unfinished = append(unfinished, d.Name())
		case err != nil:
			c.Base = Base{Run: d.Name(), Made: now()}
			if info, err := d.Info(); err == nil {
				c.Made = info.ModTime()
			}
			c.Broken = err
			copies = append(copies, c)
		default:
			copies = append(copies, c)
		}
	}
	slices.SortFunc(copies, func(a, b *Copy) int { return a.Made.Compare(b.Made) })
	return copies, unfinished, nil
}

// Find gives the copy of a run, which may be named by the beginning of its id.
func Find(home, run string) (*Copy, error) {
	copies, _, err := List(home)
	if err != nil {
		return nil, err
	}
	var found []*Copy
	for _, c := range copies {
		if run != "" && strings.HasPrefix(c.Run, run) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, &noCopy{fmt.Sprintf("there is no copy of a run %q", run)}
	}
	return nil, &noCopy{fmt.Sprintf("%q is the beginning of %d runs", run, len(found))}
}

// read reads the head of a copy.
func read(dir string) (*Copy, error) {
	c := &Copy{Dir: dir}
	return c, c.decode(func(in *gob.Decoder) error { return in.Decode(&c.Base) })
}

// load reads what was copied, if it is not known yet.
func (c *Copy) load() error {
	if c.loaded {
		return nil
	}
	err := c.Broken
	if err == nil {
		err = c.decode(func(in *gob.Decoder) error { return errors.Join(in.Decode(&Base{}), in.Decode(&c.Base.Tree)) })
	}
	if err != nil {
		return &noCopy{fmt.Sprintf("the copy of run %s cannot be read: %v; it lies in %s", c.Run, err, c.Dir)}
	}
	c.loaded = true
	return nil
}

func (c *Copy) decode(read func(*gob.Decoder) error) error {
	f, err := os.Open(filepath.Join(c.Dir, baseFile))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := read(gob.NewDecoder(f)); err != nil {
		return err
	}
	if c.Format != format || c.Run != filepath.Base(c.Dir) {
		return errors.New("another av made it")
	}
	return nil
}

type noCopy struct{ why string }

func (n *noCopy) Error() string { return n.why }
func (n *noCopy) Hint() string  { return "`av diff` lists the copies that are kept" }
