package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/av-project/av/vault/policy"
)

const (
	// projectName is the file in a project that says how to run there.
	projectName = ".av.yaml"
	// userName is the user's own, in AV_HOME.
	userName = "config.yaml"
	// maxRunFile is how much of such a file is read, in bytes. The parser refuses what is
	// longer than its own ceiling, which is lower.
	maxRunFile = 128 << 10
)

// runFile is a file that sets defaults for `av run`. It was read once: what was hashed is
// what is used.
type runFile struct {
	path     string
	sum      string // SHA-256, in hexadecimal
	settings []policy.Setting
}

// says are the values of one key.
func (f *runFile) says(key string) (s policy.Setting, ok bool) {
	if f == nil {
		return s, false
	}
	for _, s := range f.settings {
		if s.Key == key {
			return s, true
		}
	}
	return s, false
}

// readRunFile reads a settings file; nil where there is none. A link is refused: it
// could lead to a file that others write, or that is not for showing.
func readRunFile(path string) (*runFile, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, syscall.ELOOP) {
		return nil, withHint(fmt.Errorf("%s is a symbolic link", path), "put the file itself there")
	}
	if err != nil {
		return nil, withHint(fmt.Errorf("read the settings: %w", err), "make it a file that you can read, or remove it")
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, withHint(fmt.Errorf("%s is no file", path), "put a file of settings there, or remove it")
	}
	text, err := io.ReadAll(io.LimitReader(file, maxRunFile))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	sum := sha256.Sum256(text)
	f := &runFile{path: path, sum: hex.EncodeToString(sum[:])}
	if f.settings, err = policy.Settings(path, text, "a line is a flag of `av run` and its value, such as isolation: container"); err != nil {
		return nil, err
	}
	return f, f.check()
}

// check refuses keys that are not for files, and settings that are no value of theirs.
func (f *runFile) check() error {
	for _, s := range f.settings {
		switch rule, known := fileRules[s.Key]; {
		case !known:
			return s.Errorf("the keys are the long names of the flags in `av run --help`", "there is no setting %q", s.Key)
		case rule.refused != "":
			return s.Errorf("leave it out", "%s cannot be set in a file: %s", s.Key, rule.refused)
		}
	}
	return nil
}

// readUserFile reads the user's own settings.
func (e *env) readUserFile() (*runFile, error) {
	path := filepath.Join(e.home, userName)
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o022 != 0 {
		return nil, withHint(fmt.Errorf("others can write %s, its mode is %#o", path, info.Mode().Perm()), "chmod go-w '"+path+"'")
	}
	return readRunFile(path)
}

// projectPlaces are where a project's file may be, the nearest first: the folder that we
// are in and those above it, as far as its git work tree goes. Outside of one, that folder
// alone: what lies above it, in /tmp say, is anybody's.
func projectPlaces(dir string) (places []string) {
	for at := dir; ; at = filepath.Dir(at) {
		places = append(places, filepath.Join(at, projectName))
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return places
		}
		if at == filepath.Dir(at) {
			return places[:1]
		}
	}
}

// above are the same places without regard to git: where a file that was trusted would
// hold for dir if nobody had put a work tree in between.
func above(dir string) (places []string) {
	for at := dir; ; at = filepath.Dir(at) {
		places = append(places, filepath.Join(at, projectName))
		if at == filepath.Dir(at) {
			return places
		}
	}
}

// here is the folder that we are in, by its real name.
func here() (string, error) {
	dir, err := os.Getwd()
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", withHint(fmt.Errorf("find the folder that we are in: %w", err), "it may have been removed: cd to another")
	}
	return dir, nil
}

// findProjectFile reads the nearest project file of dir; nil where there is none.
func findProjectFile(dir string) (*runFile, error) {
	for _, place := range projectPlaces(dir) {
		if f, err := readRunFile(place); f != nil || err != nil {
			return f, err
		}
	}
	return nil, nil
}

// asked are the settings of a project's file that it needs trust for.
func (f *runFile) asked(user *runFile) (asked []policy.Setting) {
	for _, s := range f.settings {
		said, _ := user.says(s.Key)
		rule := fileRules[s.Key]
		for _, value := range s.Values {
			if rule.harmless == nil || !rule.harmless(value, said.Values) {
				asked = append(asked, s)
				break
			}
		}
	}
	return asked
}

// readProjectFile finds the project's file and tells whether it counts. One that asks for
// more than there is without it must be trusted; one that was trusted must be as it was,
// and be there: whoever could take away "isolation: container" would be on the host.
func (e *env) readProjectFile(dir string, user *runFile) (*runFile, error) {
	f, err := findProjectFile(dir)
	if err != nil {
		return nil, err
	}
	pins, err := e.readTrust()
	if err != nil {
		return nil, err
	}
	if f != nil {
		switch sum, pinned := pins[f.path]; {
		case pinned && sum == f.sum:
			return f, nil
		case pinned:
			return nil, withHint(fmt.Errorf("%s has changed since you trusted it", f.path), "look at it, and then `av trust`; or `av trust --remove "+f.path+"`")
		}
	}
	for _, place := range above(dir) {
		if _, pinned := pins[place]; pinned {
			return nil, withHint(fmt.Errorf("%s, which you trusted, does not hold here any more: it is gone, or another file or work tree is before it", place),
				"look at what has changed, and then `av trust` here; or `av trust --remove "+place+"`")
		}
	}
	if f == nil {
		return nil, nil
	}
	if asked := f.asked(user); len(asked) > 0 {
		names := make([]string, len(asked))
		for i, s := range asked {
			names[i] = s.Key
		}
		return nil, withHint(fmt.Errorf("%s asks for more than a project may say by itself: %s", f.path, list(names, ", ")),
			"look at it, and then `av trust`; whoever can write the project can write this file")
	}
	return f, nil
}
