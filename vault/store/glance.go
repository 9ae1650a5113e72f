package store

import (
	"errors"
	"os"
	"slices"
	"sync"
)

// POSIX drops all locks that a process has on a file as soon as it closes any descriptor
// of it. SQLite minds that within itself; a descriptor of ours that we opened to glance at
// the header would, when closed, take the locks of a database that this process has
// open already, and another process could then reset the log under it. So
// the descriptors stay open until the last database of the file is closed.
// (https://www.sqlite.org/howtocorrupt.html, section 2.2)
var glances struct {
	mu   sync.Mutex
	held []*glance
}

type glance struct {
	info  os.FileInfo
	files []*os.File
	users int
}

// glanceAt opens path, or finds what was opened of it before. Whoever calls it calls
// done when no database of the file is open any more that was opened after it.
func glanceAt(path string) (f *os.File, done func() error, err error) {
	glances.mu.Lock()
	defer glances.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	g := find(info)
	if g == nil {
		file, err := os.Open(path)
		if err != nil {
			return nil, nil, err
		}
		// It may be another by now, even one that is held.
		if info, err = file.Stat(); err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		if g = find(info); g == nil {
			g = &glance{info: info}
			glances.held = append(glances.held, g)
		}
		g.files = append(g.files, file)
	}
	g.users++
	return g.files[0], sync.OnceValue(g.done), nil
}

func find(info os.FileInfo) *glance {
	for _, g := range glances.held {
		if os.SameFile(g.info, info) {
			return g
		}
	}
	return nil
}

func (g *glance) done() (err error) {
	glances.mu.Lock()
	defer glances.mu.Unlock()
	if g.users--; g.users > 0 {
		return nil
	}
	glances.held = slices.DeleteFunc(glances.held, func(other *glance) bool { return other == g })
	for _, f := range g.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
