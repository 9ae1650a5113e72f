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
	maxFolders = 10_000
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
}

// skipped are folders with nothing but what others have made, and too much of it.
var skipped = map[string]bool{"node_modules": true, ".venv": true, "__pycache__": true, "target": true, ".cache": true}

// find looks for repositories, the nearest first.
func find(root *nofollow.Dir) places {
	var p places
	type step struct {
		name  string
		depth int
	}
	queue := []step{{"", 0}}
	for seen := 0; len(queue) > 0; seen++ {
		if seen == maxFolders {
			p.partly = true
			return p
		}
		at := queue[0]
		queue = queue[1:]
		names, more := list(root, at.name)
		p.partly = p.partly || more
		if has(names, "HEAD") && has(names, "objects") && has(names, "refs") {
			p.addGitFolder(root, at.name)
			if at.name == "" {
				p.projects = append(p.projects, "")
			}
			continue
		}
		if (at.name == "" || isProject(names)) && !p.full() {
			p.projects = append(p.projects, at.name)
			if slices.Contains(names, nofollow.Name{Name: ".git", Kind: nofollow.Folder}) {
				p.addGitFolder(root, path.Join(at.name, ".git"))
			}
		}
		if at.depth == maxDepth {
			continue
		}
		for _, n := range names {
			if n.Kind == nofollow.Folder && n.Name != ".git" && !skipped[n.Name] {
				queue = append(queue, step{path.Join(at.name, n.Name), at.depth + 1})
			}
		}
	}
	return p
}

func (p *places) full() bool {
	if len(p.projects)+len(p.gitFolders) < maxRepositories {
		return false
	}
	p.partly = true
	return true
}

// addGitFolder adds one with those of its submodules and worktrees.
func (p *places) addGitFolder(root *nofollow.Dir, name string) {
	if p.full() {
		return
	}
	p.gitFolders = append(p.gitFolders, name)
	trees, more := list(root, path.Join(name, "worktrees"))
	p.partly = p.partly || more
	for _, tree := range trees {
		if tree.Kind == nofollow.Folder && !p.full() {
			p.gitFolders = append(p.gitFolders, path.Join(name, "worktrees", tree.Name))
		}
	}
	p.addModules(root, path.Join(name, "modules"), 0)
}

// addModules looks below a modules folder: a submodule's name may have slashes.
func (p *places) addModules(root *nofollow.Dir, name string, depth int) {
	names, more := list(root, name)
	p.partly = p.partly || more || depth > maxDepth
	if depth > maxDepth {
		return
	}
	for _, n := range names {
		at := path.Join(name, n.Name)
		switch {
		case n.Kind != nofollow.Folder:
		case kind(root, path.Join(at, "HEAD")) == nofollow.File:
			p.addGitFolder(root, at)
		default:
			p.addModules(root, at, depth+1)
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
	return slices.ContainsFunc(names, func(n nofollow.Name) bool { return n.Name == name })
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
func expand(root *nofollow.Dir, dir, pattern string) (paths []string, more bool) {
	at := dir
	parts := strings.Split(pattern, "/")
	for _, part := range parts[:len(parts)-1] {
		at = path.Join(at, part)
		switch kind(root, at) {
		case nofollow.Folder:
		case nofollow.Link:
			return []string{at}, false
		default:
			return nil, false
		}
	}
	last := parts[len(parts)-1]
	if !strings.Contains(last, "*") {
		if at = path.Join(at, last); kind(root, at) == none {
			return nil, false
		}
		return []string{at}, false
	}
	names, more := list(root, at)
	for _, n := range names {
		if matches(last, n.Name) {
			paths = append(paths, path.Join(at, n.Name))
		}
	}
	return paths, more
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// isProject tells by what is in a folder whether a tool may take it for a project.
func isProject(names []nofollow.Name) bool {
	return slices.ContainsFunc(names, func(n nofollow.Name) bool {
		return slices.ContainsFunc(firsts, func(first string) bool {
			return first == n.Name || strings.Contains(first, "*") && matches(first, n.Name)
		})
	})
}

// firsts are the first parts of the patterns of a project.
var firsts = func() (list []string) {
	for _, p := range Project {
		first, _, _ := strings.Cut(p.Path, "/")
		list = append(list, first)
	}
	return list
}()
