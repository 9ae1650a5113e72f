package policy

import (
	"regexp"
	"slices"
	"strings"
)

// An upstream may read a path in another way than we do, and a client that knows how can
// make the two differ: /api/%2e%2e/admin is below /api/ for one and /admin for the other. We
// cannot know which steps a server takes or in what order, so a path is judged in every
// reading that any order of them gives; a path is only what all of its readings are.
//
// The steps are those of servers, proxies and frameworks in the field: decoding once (all
// of it, or all but an encoded slash) or, behind a proxy that decodes too, twice; taking \
// for /; leaving out ;parameters; leaving out segments that are no names to Windows; merging
// slashes; resolving dots; and taking what was an encoded ? or # for the end of the path. A
// path encoded three times, one with an escape that is none or is IIS' own, or one with a
// segment of dots and blanks is no path that anybody needs: it has no reading at all.

// form is how much of a reading has been decoded, and so in which form a rule compares.
type form uint8

const (
	sent     form = iota // as it is on the wire
	sentKept             // decoded, but for encoded slashes
	once
	onceKept // decoded, and then again, but for encoded slashes
	twice
	forms
)

const (
	maxAmbiguous = 8 << 10 // bytes of a path that needs more than one reading
	maxReadings  = 64      // of one path; each is as long as the path
)

type reading struct {
	form form
	path string
}

// readings are all the ways to read path. There are none for one that cannot be read, or in
// more ways than anybody means.
func readings(path string) []reading {
	if path == "" {
		path = "/"
	}
	if unambiguous(path) {
		return []reading{{sent, path}}
	}
	if path[0] != '/' || len(path) > maxAmbiguous {
		return nil
	}
	all := []reading{{sent, wire(path)}}
	for i := 0; i < len(all); i++ {
		next, ok := all[i].steps()
		if !ok {
			return nil
		}
		for _, r := range next {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
		if len(all) > maxReadings {
			return nil
		}
	}
	return all
}

// unambiguous tells whether path has one reading and is in its canonical form.
func unambiguous(path string) bool {
	if path[0] != '/' {
		return false
	}
	for i := range len(path) {
		switch c := path[i]; {
		case !isPchar(c) && c != '/', c == ';':
			return false
		case i > 0 && path[i-1] == '/' && (c == '/' || c == '.'):
			return false
		}
	}
	return true
}

// steps are the readings that are one step away from r. It is not ok if r cannot be read.
func (r reading) steps() (next []reading, ok bool) {
	if oddDots(r.path) || ownEscape.MatchString(r.path) {
		return nil, false
	}
	add := func(f form, path string) { next = append(next, reading{f, path}) }
	for _, step := range []func(string) string{separators, withoutParameters, withoutNameless, mergeSlashes, resolve, cut} {
		add(r.form, step(r.path))
	}
	decodeInto := func(all, kept form) bool {
		path, good := decode(r.path, false)
		if !readable(path) || !good && r.form == sent {
			return false
		}
		if path != r.path {
			add(all, path)
			path, _ = decode(r.path, true)
			add(kept, path)
		}
		return true
	}
	switch r.form {
	case sent:
		ok = decodeInto(once, sentKept)
	case once:
		ok = decodeInto(twice, onceKept)
	case twice:
		ok = !encoded(r.path)
	default:
		ok = true
	}
	return next, ok
}

// separators takes \ for /, as Windows does.
func separators(path string) string { return strings.ReplaceAll(path, `\`, "/") }

// withoutParameters leaves out what follows a ; in each segment, as servlets do.
func withoutParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	var b strings.Builder
	for i, segment := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		segment, _, _ = strings.Cut(segment, ";")
		b.WriteString(segment)
	}
	return b.String()
}

// withoutNameless leaves out segments of three dots and more, and of blanks: Windows takes
// both from the end of a name, and then there is none.
func withoutNameless(path string) string {
	if !strings.Contains(path, "/...") && !strings.Contains(path, "/ ") {
		return path
	}
	nameless := func(s string) bool {
		return len(s) > 2 && strings.Trim(s, ".") == "" || s != "" && strings.Trim(s, " ") == ""
	}
	segments := strings.Split(path, "/")
	if last := &segments[len(segments)-1]; nameless(*last) {
		*last = "" // what is left is a folder
	}
	return strings.Join(slices.DeleteFunc(segments, nameless), "/")
}

// oddDots tells whether path has a segment of both dots and blanks, and of nothing else:
// ".. " is ".." to some.
func oddDots(path string) bool {
	if !strings.Contains(path, " ") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if strings.Trim(segment, " .") == "" && strings.Contains(segment, " ") && strings.Contains(segment, ".") {
			return true
		}
	}
	return false
}

// ownEscape is how IIS writes a character besides.
var ownEscape = regexp.MustCompile(`%[uU][0-9A-Fa-f]{4}`)

func mergeSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// resolve takes out the segments . and .. as RFC 3986 does: empty segments count.
func resolve(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path, "/")[1:]
	var kept []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == ".." && len(kept) > 0:
			kept = kept[:len(kept)-1]
		case s != "." && s != "..":
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "") // what it resolves to is a folder
		}
	}
	return "/" + strings.Join(kept, "/")
}

// cut ends the path where a second parser would, once a ? or # is no longer encoded.
func cut(path string) string {
	if i := strings.IndexAny(path, "?#"); i > 0 {
		return path[:i]
	}
	return path
}
