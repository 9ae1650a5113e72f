package protect

import (
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

const (
	// maxFiles, folders among them, and maxBytes are what is read of all protected paths of a
	// workspace.
	maxFiles = 5000
	maxBytes = 64 << 20
	// maxHops is how many links are followed one after another, inside the workspace.
	maxHops = 8
	// maxBelow is how deep a protected folder is read.
	maxBelow = 16
)

// unread stands for the digest of what was too much to read.
const unread = "unread"

// Seen is what of a workspace the host's tools would execute, at one moment.
type Seen struct {
	// Files holds the digest of every file below a protected path.
	Files map[string]string
	// Built holds those of what people execute on purpose.
	Built map[string]string
	// Closed are the paths to close to the box, and Pinned the folders that must not be
	// moved away from around them.
	Closed, Pinned []string
	// Partly: a ceiling was met, and not everything was looked at.
	Partly bool
}

// Paths gives where all that was seen lies: of a link, both it and what it leads to.
func (s Seen) Paths() map[string]bool {
	paths := map[string]bool{}
	for name := range s.Files {
		paths[name[strings.LastIndex(name, behind)+1:]] = true
	}
	for _, name := range s.Closed {
		paths[name] = true
	}
	return paths
}

// Look looks at a workspace. path is where it lies on the host: a link that leads into
// it is read as what it leads to.
func Look(root *nofollow.Dir, path string) Seen {
	l := looker{root: root, seen: Seen{Files: map[string]string{}, Built: map[string]string{}}}
	return l.look(find(root, path))
}

// LookGit looks at a git folder that lies outside of any workspace.
func LookGit(root *nofollow.Dir, path string) Seen {
	l := looker{root: root, seen: Seen{Files: map[string]string{}}}
	at := places{root: root, ways: newWays(root, path)}
	at.addGitFolder("")
	return l.look(at)
}

func (l *looker) look(at places) Seen {
	l.ways = at.ways
	for _, dir := range at.gitFolders {
		l.apply(dir, GitFolder)
		l.configured(dir)
		if dir != "" {
			l.seen.Pinned = append(l.seen.Pinned, parents(dir)...)
		}
	}
	for _, dir := range at.projects {
		l.apply(dir, Project)
		l.built(dir)
	}
	l.seen.Partly = l.seen.Partly || at.partly || at.ways.spent
	// Of more than can be closed, the nearest are, and of those git's first.
	slices.SortStableFunc(l.seen.Closed, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	return l.seen
}

// parents are the folders from .git down to a git folder. Those above .git are a project's
// own, and free to be moved; what is moved is seen at the end.
func parents(gitFolder string) (list []string) {
	inGit := gitFolder == ".git" || strings.HasSuffix(gitFolder, "/.git")
	for at := gitFolder; at != "."; at = path.Dir(at) {
		list = append([]string{at}, list...)
		if path.Base(at) == ".git" {
			inGit = true
			break
		}
	}
	if !inGit {
		return []string{gitFolder} // a bare repository
	}
	return list
}

type looker struct {
	root   *nofollow.Dir
	ways   *ways
	seen   Seen
	files  int // and folders
	bytes  int64
	listed *listed
}

func (l *looker) apply(dir string, patterns []Pattern) {
	for _, p := range patterns {
		paths, more := l.expand(dir, p.Path)
		l.seen.Partly = l.seen.Partly || more
		for _, name := range paths {
			k := kind(l.root, name)
			if p.Path == ".git" && (k == nofollow.Folder || k == nofollow.Link) {
				// What it is, or leads to, is looked at as a git folder.
				if target, err := l.root.Readlink(name); err == nil {
					l.seen.Files[name] = linkTo(target)
				}
				continue
			}
			// A link cannot be closed: the engine would mount what it leads to.
			if !p.Watched && (k == nofollow.File || k == nofollow.Folder) {
				l.seen.Closed = append(l.seen.Closed, name)
			}
			l.add(name, name, l.seen.Files, 0, 0)
		}
	}
}

func (l *looker) built(dir string) {
	for _, p := range Built {
		paths, _ := l.expand(dir, p.Path)
		for _, name := range paths {
			l.add(name, name, l.seen.Built, 0, 0)
		}
	}
}

// add reads what is at a path, under the name that it is known by.
func (l *looker) add(at, name string, into map[string]string, depth, hops int) {
	i, err := l.root.Lstat(at)
	switch {
	case err != nil:
		into[name] = "unread: " + err.Error()
	case l.files >= maxFiles || depth > maxBelow:
		l.seen.Partly = true
		into[name] = unread
	case i.Kind == nofollow.Folder:
		l.files++
		names, more := list(l.root, at)
		if more {
			l.seen.Partly = true
			into[name] = unread
		}
		for _, n := range names {
			l.add(path.Join(at, n.Name), path.Join(name, n.Name), into, depth+1, hops)
		}
	case i.Kind == nofollow.Link:
		l.files++
		l.link(at, name, into, depth, hops)
	case i.Kind == nofollow.File:
		l.files++
		into[name] = l.digest(at)
	default:
		l.files++
		into[name] = "no file"
	}
}

// behind stands between a link's name and what it leads to. No name has it in it, so none can
// be taken for what lies behind a link.
const behind = "\x00"

func linkTo(target string) string { return "link to " + target }

// link notes where a link leads, and what is there if that lies in the workspace: the
// tool that executes it follows the link.
func (l *looker) link(at, name string, into map[string]string, depth, hops int) {
	target, err := l.root.Readlink(at)
	if err != nil {
		into[name] = unread
		return
	}
	into[name] = linkTo(target)
	if hops >= maxHops {
		return
	}
	if to, ok := l.ways.resolve(dirOf(at), target); ok && to != "" {
		l.add(to, name+behind+to, into, depth+1, hops+1)
	}
}

func (l *looker) digest(name string) string {
	f, i, err := l.root.Open(name)
	if err != nil {
		return "unread: " + err.Error()
	}
	defer f.Close()
	if l.bytes+i.Size > maxBytes {
		l.seen.Partly = true
		return unread
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxBytes-l.bytes))
	l.bytes += n
	if err != nil {
		return "unread: " + err.Error()
	}
	return fmt.Sprintf("%t %x", i.Perm&0o111 != 0, h.Sum(nil))
}
