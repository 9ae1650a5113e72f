package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// assignment is one KEY=VALUE of an env file.
type assignment struct {
	key   string
	value []byte
	line  int
}

// envError is what is wrong with an env file, and where. It never repeats what stands
// there: that is a secret, or may be one in the wrong place.
type envError struct {
	file string
	line int
	text string
	hint string
}

func (e *envError) Error() string { return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.text) }
func (e *envError) Hint() string  { return e.hint }

// maxEnvFile is more than an env file may have.
const maxEnvFile = 8 << 20

// envFile reads the settings of an env file: all of them, or those of the keys named.
func (e *env) envFile(file string, keys []string) ([]vault.Setting, error) {
	src, err := e.readInput(file, "the env file", maxEnvFile+1)
	if err != nil {
		return nil, err
	}
	defer clear(src)
	if len(src) > maxEnvFile {
		return nil, withHint(fmt.Errorf("the env file is larger than %s", policy.FormatSize(maxEnvFile)), "take what it sets in smaller files")
	}
	name := file
	if name == "-" {
		name = "stdin"
	}
	assignments, err := parseEnv(name, src)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if !slices.ContainsFunc(assignments, func(a assignment) bool { return a.key == key }) {
			return nil, withHint(fmt.Errorf("%s does not set %s", name, key), "leave the key out to take all that it sets")
		}
	}
	var settings []vault.Setting
	for _, a := range assignments {
		if len(keys) == 0 || slices.Contains(keys, a.key) {
			settings = append(settings, vault.Setting{Key: a.key, Value: vault.NewValue(a.value)})
		}
		clear(a.value)
	}
	if len(settings) == 0 {
		return nil, withHint(fmt.Errorf("%s sets nothing", name), "it needs lines such as GITHUB_TOKEN=VALUE")
	}
	return settings, nil
}

// parseEnv reads an env file strictly. Programs differ in what they make of such a file;
// what they would read differently is refused, and nothing is expanded.
func parseEnv(name string, src []byte) ([]assignment, error) {
	p := &envParser{name: name, rest: bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")), line: 1}
	seen := map[string]int{}
	var out []assignment
	for len(p.rest) > 0 {
		a, ok, err := p.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if first, twice := seen[a.key]; twice {
			return nil, &envError{name, a.line, fmt.Sprintf("%s is set on line %d already", a.key, first), "remove one of the two"}
		}
		seen[a.key] = a.line
		out = append(out, a)
	}
	return out, nil
}

type envParser struct {
	name string
	rest []byte
	line int // of the start of rest
}

func (p *envParser) errorf(hint, format string, args ...any) error {
	return &envError{p.name, p.line, fmt.Sprintf(format, args...), hint}
}

// next reads one line, or as many as a quoted value has; ok is false for one that sets
// nothing.
func (p *envParser) next() (a assignment, ok bool, err error) {
	a.line = p.line
	line := p.upToLineEnd()
	start := bytes.TrimLeft(line, " \t")
	if len(start) == 0 || start[0] == '#' {
		p.skip(len(line))
		return a, false, nil
	}
	if after, exported := bytes.CutPrefix(start, []byte("export")); exported && len(after) > 0 && (after[0] == ' ' || after[0] == '\t') {
		start = bytes.TrimLeft(after, " \t")
	}
	key, value, found := bytes.Cut(start, []byte{'='})
	if !found {
		return a, false, p.errorf("write KEY=VALUE, or # before a comment", "the line sets nothing")
	}
	if vault.CheckKey(string(key)) != nil {
		return a, false, p.errorf("a key has capitals, digits and underscores, such as GITHUB_TOKEN, and no blank before the =",
			"what stands before the = is not a credential key")
	}
	a.key = string(key)
	p.rest = p.rest[len(line)-len(value):]
	if a.value, err = p.value(a.key, value); err != nil {
		return a, false, err
	}
	if len(a.value) == 0 {
		p.line = a.line
		return a, false, p.errorf("remove the line, or give it a value", "%s is empty", a.key)
	}
	return a, true, nil
}

// value reads what stands after the =, of which line is the part on the same line.
func (p *envParser) value(key string, line []byte) ([]byte, error) {
	if len(line) == 0 {
		p.skip(0)
		return nil, nil
	}
	switch line[0] {
	case ' ', '\t':
		if rest := bytes.TrimLeft(line, " \t"); len(rest) == 0 || rest[0] == '#' {
			p.skip(len(line))
			return nil, nil
		}
		return nil, p.errorf("write "+key+"=VALUE without a blank", "there is a blank after the = of %s", key)
	case '\'', '"':
		return p.quoted(key, line[0])
	case '`':
		return nil, p.errorf("put it in single quotes", "the value of %s begins with a backtick", key)
	}
	end := len(line)
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		after := bytes.TrimLeft(line[i:], " \t")
		if len(after) > 0 && after[0] != '#' {
			return nil, p.errorf("put it in single quotes", "the value of %s has a blank in it and no quotes", key)
		}
		end = i
	}
	value := line[:end]
	if err := p.refuseOthersSyntax(key, value); err != nil {
		return nil, err
	}
	p.skip(len(line))
	return bytes.Clone(value), nil
}

// quoted reads a value in quotes, which may go over several lines: a private key does.
func (p *envParser) quoted(key string, quote byte) ([]byte, error) {
	begun := p.line
	var value []byte
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == quote:
			if quote == '"' {
				if err := p.refuseExpansion(key, p.rest[1:i]); err != nil {
					return nil, err
				}
			}
			p.line += bytes.Count(p.rest[:i], []byte{'\n'})
			p.rest = p.rest[i+1:]
			line := p.upToLineEnd()
			if after := bytes.TrimLeft(line, " \t"); len(after) > 0 && after[0] != '#' {
				return nil, p.errorf("nothing but a comment may follow the closing quote", "there is something after the quotes of %s", key)
			}
			p.skip(len(line))
			return value, nil
		case c == 0:
			return nil, p.errorf("use `av credential set KEY --from-file FILE` for bytes that are no text", "the value of %s has a NUL in it", key)
		case c == '\\' && quote == '"':
			i++
			plain, known := escapes[at0(p.rest, i)]
			if !known {
				return nil, p.errorf(`\n, \r, \t, \", \$ and \\ are known; or put it in single quotes`, "the value of %s has an unknown escape", key)
			}
			value = append(value, plain)
		case c == '\r' && at0(p.rest, i+1) == '\n':
			// A line break of Windows is one of the file, not of the value.
		default:
			value = append(value, c)
		}
	}
	p.line = begun
	return nil, p.errorf("close them", "the quotes of %s are not closed", key)
}

var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '"': '"', '\\': '\\', '$': '$'}

// at0 is b[i], or 0 behind its end.
func at0(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// refuseOthersSyntax refuses a bare value that other programs would read otherwise.
func (p *envParser) refuseOthersSyntax(key string, value []byte) error {
	if bytes.ContainsAny(value, "\x00\\") {
		return p.errorf("put it in single quotes", "the value of %s has a backslash or a NUL in it and no quotes", key)
	}
	return p.refuseExpansion(key, value)
}

// refuseExpansion refuses what other programs would put a variable or a command in for.
func (p *envParser) refuseExpansion(key string, value []byte) error {
	for i, c := range value {
		if c != '$' || i > 0 && value[i-1] == '\\' {
			continue
		}
		if next := at0(value, i+1); next == '{' || next == '(' || next == '_' || strings.IndexByte(letters, next|0x20) >= 0 {
			return p.errorf("av expands no variables; put it in single quotes if the $ is part of the value",
				"the value of %s names a variable", key)
		}
	}
	return nil
}

const letters = "abcdefghijklmnopqrstuvwxyz"

// upToLineEnd is the rest of the line, without its line break.
func (p *envParser) upToLineEnd() []byte {
	line, _, _ := bytes.Cut(p.rest, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

// skip goes behind n bytes and the line break that follows.
func (p *envParser) skip(n int) {
	p.rest = bytes.TrimPrefix(p.rest[n:], []byte{'\r'})
	if after, broken := bytes.CutPrefix(p.rest, []byte{'\n'}); broken {
		p.rest = after
		p.line++
	}
}
