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
	if err := c.load(); err != nil {
		return nil, err
	}
	root, err := nofollow.Open(c.Tree())
	if err != nil {
		return nil, &unread{c.Tree(), err}
	}
	defer root.Close()
	mine, err := scan(ctx, root, c.Base.Tree)
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, &unread{c.Tree(), err}
	}
	changes := changed(c.Base.Tree, mine)
	g := guard{gits: gitFolders(c.Base.Tree, mine)}
	if owners, err := c.owners(); err == nil {
		// What the owner's tools execute may lie where only his own links and git say.
		g.executed = protect.Look(owners, c.Folder).Paths()
		owners.Close()
	}
	for i := range changes {
		changes[i].Guarded = g.judge(changes[i])
	}
	return changes, nil
}

// unread says that the agent has left what cannot be looked at.
type unread struct {
	tree string
	err  error
}

func (u *unread) Error() string { return fmt.Sprintf("look at the copy: %v", u.err) }
func (u *unread) Unwrap() error { return u.err }
func (u *unread) Hint() string {
	return "the copy is in " + u.tree + ": remove there what is in the way, or open it with `chmod -R u+rwX`; or take out by hand what you need"
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

// guard judges changes by their paths alone, so that nothing can be hidden by being too much
// to look at.
type guard struct {
	// executed is what lies in the owner's folder for his tools to execute.
	executed map[string]bool
	// gits are folders that git would take for its own without a .git.
	gits map[string]bool
}

func (g guard) judge(c Change) string {
	for at := c.Path; at != "."; at = path.Dir(at) {
		if protect.IsDotGit(path.Base(at)) {
			return GuardedGit
		}
	}
	for at, below := c.Path, ""; at != "."; at = path.Dir(at) {
		below = path.Join(path.Base(at), below)
		if g.executed[at] || g.gits[path.Dir(at)] && protect.CoversInGit(below) {
			return GuardedProgram
		}
	}
	link := c.Mine.Kind == nofollow.Link
	if protect.Covers(c.Path) || link && protect.LeadsTo(c.Path) {
		return GuardedProgram
	}
	if link && leadsOut(c.Path, c.Mine.Link) {
		return GuardedLink
	}
	return ""
}

// gitFolders gives the folders that look like one of git's, taking the trees together.
func gitFolders(trees ...Tree) map[string]bool {
	in := map[string][]nofollow.Name{}
	for _, tree := range trees {
		for name := range tree {
			base := path.Base(name)
			for _, part := range []string{"HEAD", "objects", "refs", "commondir"} {
				if strings.EqualFold(base, part) {
					in[path.Dir(name)] = append(in[path.Dir(name)], nofollow.Name{Name: base})
				}
			}
		}
	}
	gits := map[string]bool{}
	for dir, names := range in {
		gits[dir] = protect.IsGitFolder(names)
	}
	return gits
}

// leadsOut tells whether a link may lead out of the tree that it is in. Other links on the
// way are not looked at, for each of them is judged for itself; but where one may lead on the
// way, what lies above its end is not what the names say.
func leadsOut(name, target string) bool {
	if path.IsAbs(target) {
		return true
	}
	entered := false
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case part == ".." && entered:
			return true
		case part != ".." && part != "." && part != "":
			entered = true
		}
	}
	to := path.Join(path.Dir(name), target)
	return to == ".." || strings.HasPrefix(to, "../")
}

// scan reads a tree. What has not changed since it was noted is not read again, and what has
// another size than it had is not read at all: it is another file.
func scan(ctx context.Context, root *nofollow.Dir, known Tree) (Tree, error) {
	s := &scanner{ctx: ctx, known: known, tree: Tree{}}
	return s.tree, s.folder(root, "")
}

type scanner struct {
	ctx    context.Context
	known  Tree
	tree   Tree
	extent extent
}

// folder reads one folder; name is what it is below the root.
func (s *scanner) folder(dir *nofollow.Dir, name string) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	names, err := entries(dir, "")
	if err != nil {
		return at(name, err)
	}
	for _, n := range names {
		whole := path.Join(name, n)
		if err := s.extent.meet(whole); err != nil {
			return err
		}
		i, err := dir.Lstat(n)
		if err != nil {
			return at(whole, err)
		}
		k, ok := s.known[whole]
		if ok && k.Kind == i.Kind && k.Perm == i.Perm && k.Ino == int64(i.Ino) && k.Changed == i.Changed.UnixNano() && i.Kind != nofollow.Folder {
			s.tree[whole] = k
			continue
		}
		e, err := look(s.ctx, dir, n, i, k.Size)
		if err != nil {
			return at(whole, err)
		}
		if s.extent.names += len(e.Link); e.isThere() {
			s.tree[whole] = e
		}
		if i.Kind == nofollow.Folder {
			if err := s.enter(dir, n, whole); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scanner) enter(dir *nofollow.Dir, name, whole string) error {
	below, err := dir.Dir(name)
	if err != nil {
		return at(whole, err)
	}
	defer below.Close()
	return s.folder(below, whole)
}

// look looks at one path; what is neither file nor folder nor link is as if it were not there.
// A file is read only if it has one of the sizes that make it worth a comparison: an agent can
// make one of terabytes that takes no room, and hours to read.
func look(ctx context.Context, root *nofollow.Dir, name string, i nofollow.Info, sizes ...int64) (e Entry, err error) {
	e = Entry{Kind: i.Kind, Perm: i.Perm}
	switch i.Kind {
	case nofollow.Folder:
	case nofollow.Link:
		e.Link, err = root.Readlink(name)
	case nofollow.File:
		e.Size = i.Size
		if slices.Contains(sizes, i.Size) {
			e.Sum, err = digest(ctx, root, name)
		}
	default:
		return absent, nil
	}
	return e, err
}

func digest(ctx context.Context, root *nofollow.Dir, name string) (string, error) {
	f, _, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, reader{ctx, f})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// reader ends when its context does.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

// behindLink stands for what is not looked at.
var behindLink = Entry{Link: "behind a link"}

// theirs is what is at a path of the owner's own folder now. Where a link or a file is in
// the place of a folder on the way, there is something that nobody changed but the owner.
func theirs(ctx context.Context, root *nofollow.Dir, name string, sizes ...int64) (e Entry, i nofollow.Info, err error) {
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
	e, err = look(ctx, root, name, i, sizes...)
	return e, i, err
}

// against is what is at a change's path in the owner's folder now, read as far as it takes to
// compare it; and if that is so far, the change is read too.
func (c *Change) against(ctx context.Context, owners, mine *nofollow.Dir) (now Entry, i nofollow.Info, err error) {
	now, i, err = theirs(ctx, owners, c.Path, c.Base.Size, c.Mine.Size)
	if err == nil && now.Kind == nofollow.File && c.Mine.Kind == nofollow.File && now.Size == c.Mine.Size && c.Mine.Sum == "" {
		c.Mine.Sum, err = digest(ctx, mine, c.Path)
	}
	return now, i, err
}
