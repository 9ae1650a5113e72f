package inject

import (
	"errors"
	"net/url"
	"strings"
)

// ErrShape says that a credential would have changed where a path leads.
var ErrShape = errors.New("the credential would change the shape of the path")

// Path replaces the placeholders in an escaped path. A value is one segment or a part
// of one: its slashes are encoded, and if it makes a segment that a server could take
// for a step ("..", or nothing between two slashes) the path is refused.
func Path(path string, marks []Mark) (string, error) {
	out, err := Swap(path, marks, segment)
	if err != nil {
		return "", err
	}
	if steps(out) > steps(path) {
		return "", ErrShape
	}
	return out, nil
}

func segment(value string) (string, error) { return url.PathEscape(value), nil }

// steps counts the segments of a path that are no names, in the reading that has the
// most of them: decoded as often as anyone may, with backslashes for slashes and
// parameters cut off.
func steps(path string) int {
	for range 3 {
		decoded, err := url.PathUnescape(path)
		if err != nil || decoded == path {
			break
		}
		path = decoded
	}
	n := 0
	for part := range strings.SplitSeq(strings.ReplaceAll(path, `\`, "/"), "/") {
		name, _, _ := strings.Cut(part, ";")
		if name == "" || name == "." || name == ".." {
			n++
		}
	}
	return n
}
