package protect

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

const (
	// maxFolders is how many folders are looked through for repositories, and maxDepth how
	// far below the workspace.
	maxFolders = 25_000
	maxDepth   = 6
	// maxListed is how many names of one folder are read.
	maxListed = 10_000
	// maxRepositories is how many repositories, submodules among them, are looked after.
	maxRepositories = 256
)

// places are where patterns apply, as paths below the workspace.
type places struct {
	projects   []string // "" is the workspace itself
	gitFolders []string
	// partly: a ceiling was met, and there may be others.
	partly bool

	root    *nofollow.Dir
	ways    *ways
	modules int // folders of submodules that were looked through
}

// skipped are folders with nothing but what others have made, and too much of it.
var skipped = map[string]bool{"node_modules": true, ".venv": true, "__pycache__": true, "target": true, ".cache": true}

// find looks for repositories, the nearest first. top is where root lies on the host. A
// folder that git would take for its own is looked through like any other: whoever may make
// one could hide in it what he likes.
func find(root *nofollow.Dir, top string) places {
	p := places{root: root, ways: newWays(root, top)}
	type step struct {
		name  string
		depth int
	}
	queue := []step{{"", 0}}
	for seen := 1; len(queue) > 0; {
		at := queue[0]
		queue = queue[1:]
		names, more := list(root, at.name)
		p.partly = p.partly || more
		if (at.name == "" || isProject(names)) && !p.full() {
			p.projects = append(p.projects, at.name)
			p.addNamed(at.name, names)
		}
		if IsGitFolder(names) {
			p.addGitFolder(at.name)
		}
		if at.depth == maxDepth {
			continue
		}
		for _, n := range names {
			if n.Kind != nofollow.Folder || IsDotGit(n.Name) || skipped[n.Name] {
				continue
			}
			if seen == maxFolders {
				p.partly = true
				break
			}
			seen++
			queue = append(queue, step{path.Join(at.name, n.Name), at.depth + 1})
		}
	}
	return p
}

// IsDotGit tells whether git may take a name for .git.
func IsDotGit(name string) bool { return same(name, ".git") }

// IsGitFolder tells by what is in a folder whether git would take it for one of its own: a
// repository without a .git, or one that keeps its objects in another.
func IsGitFolder(names []nofollow.Name) bool {
	return has(names, "HEAD") && (has(names, "commondir") || has(names, "objects") && has(names, "refs"))
}

// addNamed adds what .git in a folder stands for: itself, or what it names or leads to.
func (p *places) addNamed(dir string, names []nofollow.Name) {
	for _, n := range names {
		if !IsDotGit(n.Name) {
			continue
		}
		at := path.Join(dir, n.Name)
		switch n.Kind {
		case nofollow.Folder:
			p.addGitFolder(at)
		case nofollow.File:
			if text, err := line(p.root, at); err == nil {
				if to, ok := strings.CutPrefix(text, "gitdir: "); ok {
					p.addFolder(dir, to)
				}
			}
		case nofollow.Link:
			if to, err := p.root.Readlink(at); err == nil {
				p.addFolder(dir, to)
			}
		}
	}
}

// addFolder adds the folder that a path leads to from another, if it lies in the workspace.
func (p *places) addFolder(from, target string) {
	if to, ok := p.ways.resolve(from, target); ok && to != "" && kind(p.root, to) == nofollow.Folder {
		p.addGitFolder(to)
	}
}

func (p *places) full() bool {
	if len(p.projects)+len(p.gitFolders) < maxRepositories {
		return false
	}
	p.partly = true
	return true
}

// addGitFolder adds one with those of its submodules and worktrees, and the one that it
// shares its configuration with.
func (p *places) addGitFolder(name string) {
	if slices.Contains(p.gitFolders, name) || p.full() {
		return
	}
	p.gitFolders = append(p.gitFolders, name)
	if common, err := line(p.root, path.Join(name, "commondir")); err == nil {
		p.addFolder(name, common)
	}
	trees, more := list(p.root, path.Join(name, "worktrees"))
	p.partly = p.partly || more
	for _, tree := range trees {
		if tree.Kind == nofollow.Folder {
			p.addGitFolder(path.Join(name, "worktrees", tree.Name))
		}
	}
	p.addModules(path.Join(name, "modules"), 0)
}

// addModules looks below a modules folder: a submodule's name may have slashes.
func (p *places) addModules(name string, depth int) {
	p.modules++
	if depth > maxDepth || p.modules > maxFolders {
		p.partly = true
		return
	}
	names, more := list(p.root, name)
	p.partly = p.partly || more
	for _, n := range names {
		at := path.Join(name, n.Name)
		switch {
		case n.Kind != nofollow.Folder:
		case kind(p.root, path.Join(at, "HEAD")) != none:
			p.addGitFolder(at)
		default:
			p.addModules(at, depth+1)
		}
	}
}

// list gives what is in a folder in order; nothing where it cannot be read.
func list(root *nofollow.Dir, name string) (names []nofollow.Name, more bool) {
	dir, err := root.Dir(name)
	if err != nil {
		// What is there and cannot be listed may hold anything.
		return nil, !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, nofollow.ErrLink)
	}
	defer dir.Close()
	names, more, err = dir.List(maxListed)
	slices.SortFunc(names, func(a, b nofollow.Name) int { return strings.Compare(a.Name, b.Name) })
	return names, more || err != nil
}

func has(names []nofollow.Name, name string) bool {
	return slices.ContainsFunc(names, func(n nofollow.Name) bool { return same(n.Name, name) })
}

// none is the kind of what is not there.
const none = nofollow.Kind(-1)

func kind(root *nofollow.Dir, name string) nofollow.Kind {
	i, err := root.Lstat(name)
	if err != nil {
		return none
	}
	return i.Kind
}

// expand gives the paths below dir that a pattern names and that are there. Where a folder
// on the way is a link, it gives the link: that is what leads a tool to what it executes.
func (l *looker) expand(dir, pattern string) (paths []string, more bool) {
	at := dir
	parts := strings.Split(pattern, "/")
	for _, part := range parts[:len(parts)-1] {
		at = path.Join(at, part)
		switch kind(l.root, at) {
		case nofollow.Folder:
		case nofollow.Link:
			return []string{at}, false
		default:
			return nil, false
		}
	}
	last := parts[len(parts)-1]
	if !strings.Contains(last, "*") {
		if at = path.Join(at, last); kind(l.root, at) == none {
			return nil, false
		}
		return []string{at}, false
	}
	names, more := l.list(at)
	for _, n := range names {
		if matches(last, n.Name) {
			paths = append(paths, path.Join(at, n.Name))
		}
	}
	return paths, more
}

// list remembers the folder that was listed last: several patterns in a row ask for it.
func (l *looker) list(name string) ([]nofollow.Name, bool) {
	if l.listed == nil || l.listed.name != name {
		names, more := list(l.root, name)
		l.listed = &listed{name, names, more}
	}
	return l.listed.names, l.listed.more
}

type listed struct {
	name  string
	names []nofollow.Name
	more  bool
}

// isProject tells by what is in a folder whether a tool may take it for a project.
func isProject(names []nofollow.Name) bool {
	return slices.ContainsFunc(names, func(n nofollow.Name) bool {
		name := fold(n.Name)
		return firsts[name] || slices.ContainsFunc(firstGlobs, func(g glob) bool { return strings.HasPrefix(name, g.begins) && matchesFolded(g.pattern, name) })
	})
}

// firsts are the first parts of the patterns of a project, and firstGlobs those with a *.
// Every name in the workspace is held against them.
var firsts, firstGlobs = func() (map[string]bool, []glob) {
	names, globs := map[string]bool{}, []glob{}
	for _, p := range Project {
		first, _, _ := strings.Cut(fold(p.Path), "/")
		if begins, _, is := strings.Cut(first, "*"); is {
			globs = append(globs, glob{first, begins})
		} else {
			names[first] = true
		}
	}
	return names, globs
}()

type glob struct{ pattern, begins string }
