package agents

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed data/*.yaml
var data embed.FS

const (
	// maxFile is the longest file of an agent, in bytes.
	maxFile = 64 << 10
	// maxOwn is how many files of the user's own are read.
	maxOwn = 100
)

// Load reads av's agents, and the user's own in a folder, which need not be there. One of
// the user's replaces av's of the same name.
func Load(dir string) (Set, error) {
	own, err := readFolder(os.DirFS(dir), dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	sub, err := fs.Sub(data, "data")
	if err != nil {
		return nil, err
	}
	builtIn, err := readFolder(sub, "")
	if err != nil {
		return nil, err
	}
	for _, a := range builtIn {
		if !slices.ContainsFunc(own, func(o Agent) bool { return o.Name == a.Name }) {
			own = append(own, a)
		}
	}
	return own, nil
}

// readFolder reads every *.yaml of a folder; dir is what it is called in errors, empty for
// av's own.
func readFolder(folder fs.FS, dir string) (set Set, err error) {
	names, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, err
	}
	if len(names) > maxOwn {
		return nil, fmt.Errorf("%s has %d agents, more than %d", dir, len(names), maxOwn)
	}
	commands := map[string]string{}
	for _, name := range names {
		src, err := readFile(folder, name)
		if err != nil {
			return nil, fmt.Errorf("read the agent %s: %w", filepath.Join(dir, name), err)
		}
		a, err := Parse(filepath.Join(dir, name), src)
		if err != nil {
			return nil, err
		}
		if base := strings.TrimSuffix(name, ".yaml"); a.Name != base {
			return nil, at(filepath.Join(dir, name), src, "$.name", fmt.Sprintf("the agent %s is in a file called %s", a.Name, name))
		}
		for _, c := range a.Commands {
			if other, taken := commands[c]; taken {
				return nil, at(filepath.Join(dir, name), src, "$.commands", fmt.Sprintf("the command %s is the agent %s's already", c, other))
			}
			commands[c] = a.Name
		}
		if dir != "" {
			a.Source, a.Tested = filepath.Join(dir, name), false
		}
		set = append(set, a)
	}
	return set, nil
}

func readFile(folder fs.FS, name string) ([]byte, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(src) > maxFile {
		err = fmt.Errorf("it is longer than %d bytes", maxFile)
	}
	return src, err
}

// Parse reads one agent strictly: a key that nobody knows is refused, like a version that is
// not fixed.
func Parse(name string, src []byte) (Agent, error) {
	var a Agent
	decoder := yaml.NewDecoder(bytes.NewReader(src), yaml.Strict())
	if err := decoder.Decode(&a); err != nil {
		if errors.Is(err, io.EOF) {
			return a, at(name, src, "$", "it is empty")
		}
		return a, &problem{name, 0, strings.TrimSpace(yaml.FormatError(err, false, false))}
	}
	var more any
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return a, &problem{name, 0, "it has more than one document"}
	}
	if where, text := a.check(); text != "" {
		return a, at(name, src, where, text)
	}
	return a, nil
}

// at is a problem with the line at which a path of the document begins.
func at(name string, src []byte, where, text string) error {
	p := &problem{name, 0, text}
	for p.line == 0 && where != "" {
		if path, err := yaml.PathString(where); err == nil {
			if node, err := path.ReadNode(bytes.NewReader(src)); err == nil && node != nil && node.GetToken() != nil {
				p.line = node.GetToken().Position.Line
			}
		}
		// What is not there has no line; what should hold it may.
		i := strings.LastIndexAny(where, ".[")
		where = where[:max(i, 0)]
	}
	return p
}

// problem is an agent that cannot be used.
type problem struct {
	file string
	line int
	text string
}

func (p *problem) Error() string {
	if p.line == 0 {
		return p.file + ": " + p.text
	}
	return fmt.Sprintf("%s:%d: %s", p.file, p.line, p.text)
}
func (p *problem) Hint() string { return "docs/agents.md shows what an agent's file may say" }
