package entry

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// File goes into a box; without content it is a folder.
type File struct {
	Path    string // relative
	Content []byte
	Mode    int64 // permission bits
}

// Pack makes an archive of files.
func Pack(files []File) ([]byte, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.Path, Mode: f.Mode, Size: int64(len(f.Content)), Typeflag: tar.TypeReg}
		if f.Content == nil {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack the box's files: %w", err)
		}
		if _, err := archive.Write(f.Content); err != nil {
			return nil, fmt.Errorf("pack the box's files: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("pack the box's files: %w", err)
	}
	return out.Bytes(), nil
}

// Unpack is the reverse of Pack.
func Unpack(r io.Reader) (files []File, err error) {
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("unpack the box's files: %w", err)
		}
		f := File{Path: header.Name, Mode: header.Mode}
		if header.Typeflag == tar.TypeReg {
			f.Content = []byte{}
			if f.Content, err = io.ReadAll(archive); err != nil {
				return nil, fmt.Errorf("unpack the box's files: %w", err)
			}
		}
		files = append(files, f)
	}
}

func unpackFile(archive, dir string, keep bool) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("unpack the box's files: %w", err)
	}
	defer f.Close()
	files, err := Unpack(f)
	if err != nil {
		return err
	}
	return put(files, dir, keep)
}

// put writes files below dir. Links are followed on the way: it runs as the command's user
// and in its box, where whoever made one could have written behind it himself.
func put(files []File, dir string, keep bool) error {
	for _, f := range files {
		if err := putOne(f, filepath.Join(dir, filepath.FromSlash(f.Path)), keep); err != nil {
			return &notPut{f.Path, dir, err}
		}
	}
	return nil
}

// notPut is a file that could not be put into the box.
type notPut struct {
	path, dir string
	err       error
}

func (n *notPut) Error() string {
	return fmt.Sprintf("%s cannot be put into %s of the box: %v", n.path, n.dir, n.err)
}
func (n *notPut) Unwrap() error { return n.err }
func (n *notPut) Hint() string {
	return "an earlier run may have put something else in its place: `av home list` shows the kept homes, and `av home remove` clears one"
}

func putOne(f File, path string, keep bool) error {
	if f.Content == nil {
		err := os.Mkdir(path, fs.FileMode(f.Mode))
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return errors.Join(err, os.Chmod(path, fs.FileMode(f.Mode)))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		if keep {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(f.Content)
	return errors.Join(err, out.Chmod(fs.FileMode(f.Mode)), out.Close())
}
