package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxPasswordFile bounds what is read as a password.
const maxPasswordFile = 64 << 10

// readPasswordFile reads what, a password, from a file, or from stdin if path is "-".
func (e *env) readPasswordFile(path, what string) ([]byte, error) {
	if path == "-" {
		if e.onTerminal() {
			return nil, withHint(errors.New("stdin is a terminal, which would show the master password"),
				"leave the flag away: you are asked, and nothing is shown")
		}
		if err := e.takeStdin(what); err != nil {
			return nil, err
		}
		return readPassword(e.stdin, "stdin")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, withHint(fmt.Errorf("read the master password: %w", err), "name a file that holds it and nothing else")
	}
	defer func() { _ = f.Close() }()
	// The open file is judged, not its name: a name can come to mean another file.
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the master password: %w", err)
	}
	if info.IsDir() {
		return nil, withHint(fmt.Errorf("read the master password: %s is a folder", path), "name a file that holds it and nothing else")
	}
	if loose(info) {
		return nil, withHint(fmt.Errorf("read the master password: others can read %s, its mode is %#o", path, info.Mode().Perm()),
			"chmod 600 '"+path+"'")
	}
	return readPassword(f, path)
}

// loose tells whether others can read a file of this user's, as ssh judges keys: the
// mode of somebody else's file is for them to choose, and it was they who let us read it.
// Nor does a mode say anything of a pipe.
func loose(info os.FileInfo) bool {
	return info.Mode().IsRegular() && mine(info) && info.Mode().Perm()&0o077 != 0
}

// readPassword reads all there is, and drops one line break at the end of it.
func readPassword(from io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(from, maxPasswordFile+1))
	if err != nil {
		clear(b)
		return nil, fmt.Errorf("read the master password from %s: %w", name, err)
	}
	if len(b) > maxPasswordFile {
		clear(b)
		return nil, withHint(fmt.Errorf("%s holds more than %d bytes: that is no password", name, maxPasswordFile), "name a file that holds the password and nothing else")
	}
	b = dropLineBreak(b)
	if len(b) == 0 {
		return nil, withHint(fmt.Errorf("the master password in %s is empty", name), "put the password there, or leave the flag away")
	}
	return b, nil
}
