package workcopy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/protect"
)

// Change is what the agent made of one path. The zero Entry is one that is not there.
type Change struct {
	Path       string
	Base, Mine Entry
	// Guarded says why it is not brought back unless it is asked for; empty: it is.
	Guarded string
}

var absent Entry

func (e Entry) isThere() bool { return e != absent }

// Changes is what the agent has changed in the copy, in order.
func (c *Copy) Changes(ctx context.Context) ([]Change, error) {
	root, err := nofollow.Open(c.Tree())
	if err != nil {
		return nil, fmt.Errorf("open the copy: %w", err)
	}
	defer root.Close()
	mine := Tree{}
	if err := scan(ctx, root, "", c.Base.Tree, mine); err != nil {
		return nil, fmt.Errorf("look at the copy: %w", err)
	}
	changes := changed(c.Base.Tree, mine)
	for i := range changes {
		changes[i].Guarded = guarded(changes[i], mine)
	}
	return changes, nil
}

// changed is what differs, in the order of paths.
func changed(base, mine Tree) (changes []Change) {
	paths := map[string]bool{}
	for p := range base {
		paths[p] = true
	}
	for p := range mine {
		paths[p] = true
	}
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		if b, m := base[p], mine[p]; !b.same(m) {
			changes = append(changes, Change{Path: p, Base: b, Mine: m})
		}
	}
	return changes
}

// Reasons why a change is not brought back unless it is asked for.
const (
	GuardedGit     = "it is git's"
	GuardedProgram = "your tools would execute it"
	GuardedLink    = "it is a link that leads out of the folder"
)

// guarded judges by paths alone, so that nothing can be hidden by being too much to look at.
func guarded(c Change, mine Tree) string {
	for at := c.Path; at != "."; at = path.Dir(at) {
		if path.Base(at) == ".git" {
			return GuardedGit
		}
	}
	link := c.Mine.Kind == nofollow.Link
	if protect.Covers(c.Path) || link && protect.LeadsTo(c.Path) || inBare(c.Path, mine) {
		return GuardedProgram
	}
	if link && leadsOut(c.Path, c.Mine.Link) {
		return GuardedLink
	}
	return ""
}

// inBare tells whether git would take commands from a path because the folder that it is
// in is a repository without a .git.
func inBare(name string, mine Tree) bool {
	for at := path.Dir(name); ; at = path.Dir(at) {
		below := strings.TrimPrefix(name, at+"/")
		if at == "." {
			below = name
		}
		bare := true
		for _, part := range []string{"HEAD", "objects", "refs"} {
			bare = bare && mine[path.Join(at, part)].isThere()
		}
		if bare && protect.CoversInGit(below) {
			return true
		}
		if at == "." {
			return false
		}
	}
}

// leadsOut tells whether a link may lead out of the tree that it is in. Other links on the
// way are not looked at: each of them is judged for itself.
func leadsOut(name, target string) bool {
	if path.IsAbs(target) {
		return true
	}
	to := path.Join(path.Dir(name), target)
	return to == ".." || strings.HasPrefix(to, "../")
}

// scan reads a tree. What has not changed since it was noted is not read again.
func scan(ctx context.Context, root *nofollow.Dir, name string, known, into Tree) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	names, err := entries(root, name)
	if err != nil {
		return err
	}
	for _, n := range names {
		at := path.Join(name, n)
		if len(into) >= maxEntries {
			return &tooLarge{}
		}
		i, err := root.Lstat(at)
		if err != nil {
			return err
		}
		if k, ok := known[at]; ok && k.Kind == i.Kind && k.Perm == i.Perm && k.Ino == int64(i.Ino) && k.Changed == i.Changed.UnixNano() && i.Kind != nofollow.Folder {
			into[at] = k
			continue
		}
		e, err := look(root, at, i)
		if err != nil {
			return err
		}
		if e.isThere() {
			into[at] = e
		}
		if i.Kind == nofollow.Folder {
			if err := scan(ctx, root, at, known, into); err != nil {
				return err
			}
		}
	}
	return nil
}

// look reads one path; what is neither file nor folder nor link is as if it were not there.
func look(root *nofollow.Dir, name string, i nofollow.Info) (e Entry, err error) {
	e = Entry{Kind: i.Kind, Perm: i.Perm}
	switch i.Kind {
	case nofollow.Folder:
	case nofollow.Link:
		e.Link, err = root.Readlink(name)
	case nofollow.File:
		e.Size = i.Size
		e.Sum, err = digest(root, name)
	default:
		return absent, nil
	}
	return e, err
}

func digest(root *nofollow.Dir, name string) (string, error) {
	f, _, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// behindLink stands for what is not looked at.
var behindLink = Entry{Link: "behind a link"}

// theirs is what is at a path of the owner's own folder now. Where a link or a file is in
// the place of a folder on the way, there is something that nobody changed but the owner.
func theirs(root *nofollow.Dir, name string) (e Entry, i nofollow.Info, err error) {
	i, err = root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, i, nil
	case errors.Is(err, nofollow.ErrLink):
		return behindLink, i, nil
	case err != nil:
		return absent, i, err
	case i.Kind == nofollow.Other || i.Kind == nofollow.Socket:
		return Entry{Link: "no file"}, i, nil
	}
	e, err = look(root, name, i)
	return e, i, err
}
