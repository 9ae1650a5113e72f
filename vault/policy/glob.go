package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const maxPath = 1024 // characters of a service's path

// ambiguous are characters that servers read in different ways, encoded or not: a rule
// with one could never match in all of them.
const ambiguous = `;\?#`

// parsePath reads a path as services have it: a glob in which * is any run of characters,
// slashes too. What comes out is as a client writes it on the wire.
func parsePath(s string) (string, error) {
	switch {
	case s == "*" || s == "/**":
		return "", &problem{"it matches every path", "leave the path out if all are meant"}
	case !strings.HasPrefix(s, "/"):
		return "", errors.New("it does not begin with /")
	case strings.Contains(s, "**"):
		return "", &problem{"** is not supported", "* is any run of characters, slashes too"}
	case strings.ContainsAny(s, ` []|<>"`+ambiguous):
		return "", fmt.Errorf("it has a space or one of %s", `[ ] | < > " ; \ ? #`)
	case len(s) > maxPath:
		return "", errLongPath
	}
	path, ok := wirePattern(s)
	decoded, _ := decode(path, false)
	switch {
	case !ok:
		return "", errors.New("a % is not followed by two hexadecimal digits")
	case len(path) > maxPath:
		return "", errLongPath
	case !readable(decoded):
		return "", errors.New("it has a control character, or is not UTF-8")
	case strings.ContainsAny(decoded, ambiguous):
		return "", errors.New(`it has one of ; \ ? # encoded, which servers read in different ways`)
	case encoded(decoded):
		return "", errors.New("it is encoded twice")
	case strings.Contains(decoded, "//") || resolve(decoded) != decoded || withoutNameless(decoded) != decoded || oddDots(decoded):
		return "", &problem{"it has an empty segment, or one of dots or blanks, which servers resolve", "write the path that remains"}
	}
	return path, nil
}

var errLongPath = fmt.Errorf("it is longer than %d characters", maxPath)

// glob is a path of a service, ready to be matched.
type glob struct {
	prefix, suffix string
	middle         []string
	whole          bool // without any *: prefix is all of it
}

// globs are one path in each form in which a request's path may be read.
type globs struct {
	plain   glob
	encoded *[forms]glob // nil if nothing in it is encoded, so that it is the same in all
}

func newGlobs(path string) globs {
	if !strings.Contains(path, "%") {
		return globs{plain: newGlob(path, func(s string) string { return s })}
	}
	as := func(keepSlash bool) glob {
		return newGlob(path, func(s string) string { s, _ = decode(s, keepSlash); return s })
	}
	all := [forms]glob{once: as(false), onceKept: as(false), twice: as(false), sentKept: as(true)}
	all[sent] = newGlob(path, func(s string) string { return s })
	return globs{all[sent], &all}
}

func newGlob(path string, read func(string) string) glob {
	if path == "" {
		return glob{} // no path is any path
	}
	// An encoded * is a character, so the stars are found before anything is decoded.
	parts := strings.Split(path, "*")
	for i := range parts {
		parts[i] = read(parts[i])
	}
	last := len(parts) - 1
	if last == 0 {
		return glob{prefix: parts[0], whole: true}
	}
	return glob{prefix: parts[0], middle: parts[1:last], suffix: parts[last]}
}

func (g *globs) in(f form) *glob {
	if g.encoded == nil {
		return &g.plain
	}
	return &g.encoded[f]
}

func (g *glob) match(path string) bool {
	if g.whole {
		return path == g.prefix
	}
	rest, ok := strings.CutPrefix(path, g.prefix)
	if !ok {
		return false
	}
	rest, ok = strings.CutSuffix(rest, g.suffix)
	for _, part := range g.middle {
		if !ok {
			return false
		}
		_, rest, ok = strings.Cut(rest, part)
	}
	return ok
}

// wirePattern is s as a client would write it: what needs no escape has none, everything
// else has one. It is not ok if a % in s begins no escape.
func wirePattern(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			var ok bool
			if c, ok = unhex(s, i); !ok {
				return "", false
			}
			i += 2
			if !isUnreserved(c) {
				escape(&b, c)
				continue
			}
		}
		writeWire(&b, c)
	}
	return b.String(), true
}

// readable tells whether a decoded path is one that servers agree on: UTF-8 in its one
// spelling (%C0%AE is a dot to some), no NUL to cut it short, and no lookalike of a
// separator that a later step would fold into one.
func readable(path string) bool {
	if !utf8.ValidString(path) || strings.ContainsAny(path, lookalikes) {
		return false
	}
	for i := range len(path) {
		if path[i] < ' ' || path[i] == 0x7f {
			return false
		}
	}
	return true
}

// lookalikes are all that Unicode's compatibility forms make . / \ % ; ? or # of, and two
// more slashes, of which Windows' code pages do.
const lookalikes = "\u037e\u2024\u2025\u2026\u2044\u2047\u2048\u2049\u2100\u2101\u2105\u2106\u2215" +
	"\ufe14\ufe16\ufe19\ufe30\ufe52\ufe54\ufe56\ufe5f\ufe68\ufe6a\uff03\uff05\uff0e\uff0f\uff1b\uff1f\uff3c"
