package protect

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fold makes one of all the names that some file system takes for the same: those that do
// not tell cases apart, and those that overlook signs without a shape. On such a system who
// writes .GIT writes .git.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case r < utf8.RuneSelf:
			return r
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		least := r
		for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
			least = min(least, o)
		}
		return least
	}, name)
}

func same(a, b string) bool { return fold(a) == fold(b) }

func matches(pattern, name string) bool { return matchesFolded(fold(pattern), fold(name)) }

func matchesFolded(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
