package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// checkOut refuses, before anything is asked for, to write where a file is.
func checkOut(name string, replace bool) error {
	info, err := os.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return withHint(fmt.Errorf("%s is a folder", name), "name a file in it")
	case err == nil && !replace:
		return existing(name)
	}
	return nil
}

func existing(name string) error {
	return withHint(fmt.Errorf("%s is there already", name), "name another file, or add --force to replace it")
}

// writeFile makes a file of mode 0600 with what write writes: all of it, or nothing. One
// that is there stays as it is, unless it may be replaced.
func writeFile(name string, replace bool, write func(io.Writer) error) error {
	if err := checkOut(name, replace); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".av-*") // its mode is 0600
	if err != nil {
		return withHint(fmt.Errorf("write %s: %w", name, err), "name a file in a folder that you can write to")
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = place(f.Name(), name, replace)
	}
	if err != nil {
		if removed := os.Remove(f.Name()); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// place gives a finished file its name. A link is refused where a file has come to be
// since we looked, which a rename would replace.
func place(temporary, name string, replace bool) error {
	if replace {
		return os.Rename(temporary, name)
	}
	err := os.Link(temporary, name)
	if errors.Is(err, fs.ErrExist) {
		return existing(name)
	}
	if err != nil {
		return os.Rename(temporary, name) // a file system without links
	}
	return os.Remove(temporary)
}
