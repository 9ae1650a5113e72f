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
	kept := filepath.Join(keptDir(e.home), run)
	if err := e.noteFound(kept, lines); err != nil {
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
	return os.Remove(kept)
}

// compareDead keeps, for whoever uses av next, what a run that has died left in its
// workspace: its own process cannot tell it any more.
func (e *env) compareDead(run, dir string) {
	found, err := runner.CompareDead(dir)
	var lines []string
	for _, one := range found {
		lines = append(lines, describeFound(one, "", false)...)
	}
	if err != nil {
		lines = append(lines, fmt.Sprintf("warning: it was killed, and what it left in its workspace cannot be told: %v", err))
	}
	if len(lines) == 0 {
		return
	}
	if err := e.noteFound(filepath.Join(keptDir(e.home), run), lines); err != nil {
		e.tell("warning: what run %s left in its workspace cannot be kept: %v: %s", run, err, strings.Join(lines, "; "))
	}
}

func (e *env) noteFound(file string, lines []string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(clean(line) + "\n")
	}
	return os.WriteFile(file, []byte(b.String()), 0o600)
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
