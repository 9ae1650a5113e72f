package protect

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

// maxSteps is how many folders a look goes through, all in all, to find what links and
// configurations name: one name may have thousands in it, and one file thousands of names.
const maxSteps = 500_000

// ways follows paths in a workspace, up to its ceiling.
type ways struct {
	root *nofollow.Dir
	top  string // where root lies on the host
	left int
	// spent: there was no step left for one of them.
	spent bool
}

func newWays(root *nofollow.Dir, top string) *ways {
	return &ways{root: root, top: top, left: maxSteps}
}

// take takes some steps, as long as there are any.
func (w *ways) take(steps int) bool {
	w.left -= steps
	w.spent = w.spent || w.left < 0
	return !w.spent
}

func (w *ways) kind(name string) nofollow.Kind {
	if !w.take(strings.Count(name, "/") + 1) {
		return none
	}
	return kind(w.root, name)
}

// resolve gives what a path leads to from a folder below root, as the kernel would find it:
// link by link, each in its turn. It is no link itself; "" is root. It is not ok if the way
// leads out of root, or over more links or folders than are followed.
func (w *ways) resolve(from, target string) (at string, ok bool) {
	if w.spent {
		return "", false
	}
	var rest []string
	follow := func(target string) bool {
		if path.IsAbs(target) {
			rel, err := filepath.Rel(w.top, target)
			if err != nil {
				return false
			}
			from, target = "", rel
		}
		rest = append(strings.Split(target, "/"), rest...)
		return true
	}
	if !follow(target) {
		return "", false
	}
	at = from
	for hops := 1; len(rest) > 0 && w.take(1); {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return "", false
			}
			at = dirOf(at)
			continue
		}
		next := path.Join(at, part)
		if w.kind(next) != nofollow.Link {
			at = next
			continue
		}
		target, err := w.root.Readlink(next)
		if hops++; err != nil || hops > maxHops {
			return "", false
		}
		from = at
		if !follow(target) {
			return "", false
		}
		at = from
	}
	return at, !w.spent && (at == "" || w.kind(at) != none)
}

// dirOf is the folder that a path below root lies in; "" is root.
func dirOf(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}
