package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKeyFile is far more than a key file has.
const maxKeyFile = 4096

// ReadKeyFile reads a key file that is its owner's alone; fs.ErrNotExist if there
// is none.
func ReadKeyFile(path string) ([]byte, error) {
	if err := checkAccess(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// WriteKeyFile makes a new key file, or leaves none. It never replaces one: that
// might be the only key to a backup.
func WriteKeyFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create the key file: %w", advise(err))
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write the key file: %w", errors.Join(advise(err), os.Remove(path)))
	}
	return nil
}

// Folder makes the vault's folder if there is none, and holds it for this process.
// Giving it back removes it again if it was made here and is still empty.
func Folder(dir string) (release func(), err error) {
	_, statErr := os.Stat(dir)
	made := errors.Is(statErr, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &problem{fmt.Sprintf("make the vault's folder: %v", err), "set AV_HOME to a folder that you can make"}
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("make the vault's folder: %w", err)
	}
	if err := checkAccess(dir); err != nil {
		unlock()
		return nil, err
	}
	return func() {
		if made {
			_ = os.Remove(dir) // which fails if there is anything in it
		}
		unlock()
	}, nil
}
