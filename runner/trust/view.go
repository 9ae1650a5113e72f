package trust

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
)

// Kind is what a name in an image stands for.
type Kind int

// None is a name that is not there; Other is a device, a pipe and the like.
const (
	None Kind = iota
	Dir
	Regular
	Link
	Other
)

// Entry is one name in an image, and where it leads if it is a link.
type Entry struct {
	Kind Kind
	Link string
}

// Source is an image that can be looked into. Images are anybody's: what it reads it reads up to a ceiling.
type Source interface {
	// Look tells what a path is, without following it if it is a link.
	Look(ctx context.Context, path string) (Entry, error)
	// Read gives the content of a file.
	Read(ctx context.Context, path string) ([]byte, error)
	// List gives the names in a folder.
	List(ctx context.Context, path string) ([]string, error)
}

// errNowhere is a path that leads nowhere, and where nothing can be put.
var errNowhere = errors.New("the path leads nowhere")

const (
	// maxLinks is how many symbolic links are followed on the way to a file.
	maxLinks = 16
	// maxComponents is how long a path may become that way.
	maxComponents = 256
)

// view is a Source that is asked once for each name: an engine takes its time for each.
type view struct {
	src   Source
	known map[string]Entry
}

func newView(src Source) *view {
	return &view{src, map[string]Entry{"/": {Kind: Dir}}}
}

func (v *view) look(ctx context.Context, name string) (Entry, error) {
	if entry, ok := v.known[name]; ok {
		return entry, nil
	}
	entry, err := v.src.Look(ctx, name)
	if err == nil {
		v.known[name] = entry
	}
	return entry, err
}

// resolve follows the links in a path, one component after the other, and never out of the image. The rest of a path
// whose folder is not there stays as it is, and is of kind None: it can be made.
func (v *view) resolve(ctx context.Context, name string) (real string, entry Entry, err error) {
	real, entry = "/", Entry{Kind: Dir}
	rest, links := components(name), 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch {
		case entry.Kind == None && part != "..":
			real = path.Join(real, part)
			continue
		case entry.Kind != Dir:
			return "", Entry{}, errNowhere
		case part == "..":
			real = path.Dir(real)
			continue
		}
		next := path.Join(real, part)
		found, err := v.look(ctx, next)
		if err != nil {
			return "", Entry{}, err
		}
		if found.Kind != Link {
			real, entry = next, found
			continue
		}
		if links++; links > maxLinks || len(rest) > maxComponents {
			return "", Entry{}, errNowhere
		}
		if path.IsAbs(found.Link) {
			real = "/"
		}
		rest = append(components(found.Link), rest...)
	}
	return real, entry, nil
}

// Real gives where a path leads in an image, links followed, be it there or not.
func Real(ctx context.Context, src Source, name string) (string, error) {
	real, _, err := newView(src).resolve(ctx, name)
	return real, err
}

// components are the parts of a path. Those that say nothing are left out, ".." is not: where it leads depends on links.
func components(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(part string) bool { return part == "" || part == "." })
}
