// Package hostpath decides which paths of the host may go into a box, and which places in
// the box they may take. It pins what it has looked at by the file's own number, so that
// what the engine mounts later can be held against it.
package hostpath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

// Pinned is a path of the host that was looked at part by part, and no link on the way.
type Pinned struct {
	Path     string
	Folder   bool
	Dev, Ino uint64
	UID, GID int
}

// Pin looks at an absolute path. A link in the root folder is followed, for only root makes
// one there (/var/run, /home on some systems). Any other is refused: an agent that once
// worked beside it may have made it, to be led elsewhere by the next run.
func Pin(path string) (Pinned, error) {
	path = topLink(filepath.Clean(path))
	if path == "/" {
		return Pinned{Path: path, Folder: true}, nil
	}
	parent, err := nofollow.Walk(filepath.Dir(path))
	if err == nil {
		defer parent.Close()
		var i nofollow.Info
		if i, err = parent.Lstat(filepath.Base(path)); err == nil {
			return pinned(path, i)
		}
	}
	switch {
	case errors.Is(err, nofollow.ErrLink):
		return Pinned{}, linked(path)
	case errors.Is(err, fs.ErrNotExist):
		return Pinned{}, &Refused{path + " is not there", "name a file or a folder that is there"}
	}
	return Pinned{}, fmt.Errorf("look at %s: %w", path, err)
}

func pinned(path string, i nofollow.Info) (Pinned, error) {
	switch i.Kind {
	case nofollow.File, nofollow.Folder:
		return Pinned{path, i.Kind == nofollow.Folder, i.Dev, i.Ino, i.UID, i.GID}, nil
	case nofollow.Link:
		return Pinned{}, linked(path)
	case nofollow.Socket:
		return Pinned{}, &Refused{path + " is a socket: whoever speaks to it may have the power of who listens", "name a file or a folder; for a network service use --allow"}
	}
	return Pinned{}, &Refused{path + " is neither a file nor a folder", "name a file or a folder"}
}

// topLink follows a link in the root folder.
func topLink(path string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	target, err := os.Readlink("/" + first)
	if err != nil || first == "" {
		return path
	}
	if !filepath.IsAbs(target) {
		target = "/" + target
	}
	return filepath.Join(target, rest)
}

func linked(path string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return &Refused{path + " leads through a symbolic link, which an agent may have made", "if you mean " + real + ", name that"}
	}
	return &Refused{path + " leads through a symbolic link to nothing", "name a file or a folder that is there"}
}

// Refused is a path that does not go into a box, with what to do instead.
type Refused struct{ why, hint string }

func (r *Refused) Error() string { return r.why }
func (r *Refused) Hint() string  { return r.hint }
