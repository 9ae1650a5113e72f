package runner

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/protect"
)

// A run that is killed compares nothing, and what its agent left for the host's tools to
// execute would never be told. So what was seen before is kept in the run's folder, and
// whoever takes the dead run apart compares it.

// lookFile is where, in the run's folder.
const lookFile = "look"

// firstLook is what was seen of one folder before the command started.
type firstLook struct {
	Path string
	Git  bool // it is a git folder, and not a workspace
	Seen protect.Seen
}

func (p *placed) keepLooks(dir string) (err error) {
	var looks []firstLook
	for _, w := range p.watched {
		looks = append(looks, w.firstLook)
	}
	var out bytes.Buffer
	if err = gob.NewEncoder(&out).Encode(looks); err == nil {
		err = writeWhole(filepath.Join(dir, lookFile), out.Bytes())
	}
	if err != nil {
		return fmt.Errorf("keep what was seen of the workspace: %w", err)
	}
	return nil
}

// CompareDead tells what became of the folders of a run that has died, by what it kept in
// its own folder, dir. Its box has to be gone: else what it changes later is told nobody.
func CompareDead(dir string) (found []Found, err error) {
	f, err := os.Open(filepath.Join(dir, lookFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it died before its box had anything of the host
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var looks []firstLook
	if err := gob.NewDecoder(f).Decode(&looks); err != nil {
		return nil, fmt.Errorf("read what was seen of the workspace: %w", err)
	}
	var failed []error
	for _, one := range looks {
		report, err := one.again()
		if err != nil {
			failed = append(failed, fmt.Errorf("look at %s: %w", one.Path, err))
		} else if !report.Empty() || report.Partly {
			found = append(found, Found{Folder: one.Path, Report: report})
		}
	}
	return found, errors.Join(failed...)
}

// again finds the folder where it was, and compares it.
func (f firstLook) again() (r protect.Report, err error) {
	root, err := nofollow.Walk(f.Path)
	if err != nil {
		return r, err
	}
	defer root.Close()
	return f.compare(root), nil
}

// compare holds the folder, which is open, against what was seen of it.
func (f firstLook) compare(root *nofollow.Dir) protect.Report {
	look := protect.Look
	if f.Git {
		look = protect.LookGit
	}
	return protect.Compare(f.Seen, look(root, f.Path))
}
