package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/av-project/av/runner"
)

// What a box has left for the host's tools to execute must reach somebody. A run in the
// background may end while nobody is attached, and a terminal may be gone by then: so it is
// written down first, and kept until it was told.

func keptDir(home string) string { return filepath.Join(home, "found") }

// warn tells lines of a run that somebody has to hear of.
func (e *env) warn(run string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	if err := e.noteFound(run, lines); err != nil {
		return fmt.Errorf("keep what was found in the workspace: %w", err)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(e.stderr, "av: %s\n", clean(line)); err != nil {
			return nil // it is kept
		}
	}
	if e.background != nil {
		return nil // nobody may be attached
	}
	err := os.Remove(filepath.Join(keptDir(e.home), run))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another av has told it too
	}
	return err
}

// keepFound keeps what was found before anybody is told: from here on it is told whatever
// becomes of this process. That it cannot be kept is said when it is told.
func (e *env) keepFound(f workspaceFlags, run string, found []runner.Found) {
	_ = e.noteFound(run, describeAll(found, "", f.strict))
}

// compareDead keeps, for whoever uses av next, what a run that has died left in its
// workspace: its own process cannot tell it any more.
func (e *env) compareDead(run, dir string) error {
	found, err := runner.CompareDead(dir)
	lines := describeAll(found, "", false)
	if err != nil {
		lines = append(lines, fmt.Sprintf("warning: it was killed, and what it left in its workspace cannot be told: %v", err))
	}
	return e.noteFound(run, lines)
}

// noteFound keeps lines of a run: whole or not at all, for somebody may be reading what is
// kept at this moment.
func (e *env) noteFound(run string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	if err := os.MkdirAll(keptDir(e.home), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(e.home, ".found-")
	if err != nil {
		return err
	}
	for _, line := range lines {
		_, failed := f.WriteString(clean(line) + "\n")
		err = errors.Join(err, failed)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(keptDir(e.home), run))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// tellKept tells, once, what is kept of runs that have ended.
func (e *env) tellKept() {
	files, err := os.ReadDir(keptDir(e.home))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.tell("warning: what ended runs have found in their workspaces cannot be read: %v", err)
	}
	for _, f := range files {
		name := filepath.Join(keptDir(e.home), f.Name())
		text, err := os.ReadFile(name)
		if err != nil {
			e.tell("warning: what run %s has found in its workspace cannot be read: %v", f.Name(), err)
			continue
		}
		for line := range strings.Lines(string(text)) {
			if _, err := fmt.Fprintf(e.stderr, "av: run %s has ended: %s\n", f.Name(), clean(strings.TrimSuffix(line, "\n"))); err != nil {
				return
			}
		}
		_ = os.Remove(name)
	}
}
