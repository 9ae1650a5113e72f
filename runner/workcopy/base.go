package workcopy

import (
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
	format   = 1
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
	err = errors.Join(gob.NewEncoder(f).Encode(c.Base), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.Dir, baseFile))
	}
	if err != nil {
		return fmt.Errorf("note what was copied: %w", err)
	}
	return nil
}

// Remove removes the copy. An agent can leave folders that may not be entered; they are
// opened first, and no link is followed to do so.
func (c *Copy) Remove() error {
	if err := os.RemoveAll(c.Dir); err == nil {
		return nil
	}
	if root, err := nofollow.Open(c.Dir); err == nil {
		enterable(root, "tree")
		root.Close()
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		return fmt.Errorf("remove the copy of run %s: %w", c.Run, err)
	}
	return nil
}

func enterable(root *nofollow.Dir, name string) {
	i, err := root.Lstat(name)
	if err != nil || i.Kind != nofollow.Folder {
		return
	}
	_ = root.Chmod(name, 0o700)
	names, err := entries(root, name)
	if err != nil {
		return
	}
	for _, n := range names {
		enterable(root, name+"/"+n)
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
		if err != nil {
			unfinished = append(unfinished, d.Name())
			continue
		}
		copies = append(copies, c)
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

func read(dir string) (*Copy, error) {
	f, err := os.Open(filepath.Join(dir, baseFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &Copy{Dir: dir}
	if err := gob.NewDecoder(f).Decode(&c.Base); err != nil {
		return nil, err
	}
	if c.Format != format || c.Run != filepath.Base(dir) {
		return nil, errors.New("another av made it")
	}
	return c, nil
}

type noCopy struct{ why string }

func (n *noCopy) Error() string { return n.why }
func (n *noCopy) Hint() string  { return "`av diff` lists the copies that are kept" }
