package protect

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

// resolve gives what a path leads to from a folder below root, as the kernel would find it:
// link by link, each in its turn. It is no link itself; "" is root. It is not ok if the way
// leads out of root, whose place on the host is top, or over more links than are followed.
func resolve(root *nofollow.Dir, top, from, target string) (at string, ok bool) {
	var rest []string
	take := func(target string) bool {
		if path.IsAbs(target) {
			rel, err := filepath.Rel(top, target)
			if err != nil {
				return false
			}
			from, target = "", rel
		}
		rest = append(strings.Split(target, "/"), rest...)
		return true
	}
	if !take(target) {
		return "", false
	}
	at = from
	for hops := 1; len(rest) > 0; {
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
		if kind(root, next) != nofollow.Link {
			at = next
			continue
		}
		target, err := root.Readlink(next)
		if hops++; err != nil || hops > maxHops {
			return "", false
		}
		from = at
		if !take(target) {
			return "", false
		}
		at = from
	}
	return at, at == "" || kind(root, at) != none
}

// dirOf is the folder that a path below root lies in; "" is root.
func dirOf(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}
