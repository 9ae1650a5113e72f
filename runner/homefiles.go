package runner

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
)

// HomeFile is a file that is in HOME before the command starts, such as an agent's answers
// to what it asks when it is new.
type HomeFile struct {
	Path    string // in HOME: a relative path
	Content []byte
	Mode    int64 // permission bits; 0: 0600
}

// checkHomeFiles refuses what would lie elsewhere than in HOME.
func checkHomeFiles(files []HomeFile) error {
	for _, f := range files {
		if !filepath.IsLocal(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "." {
			return fmt.Errorf("refusing the file %q: it is no place in HOME", f.Path)
		}
	}
	return nil
}

// fillHome puts the files into a container that was created and not started. They, the
// folders on the way and HOME itself are the command's own: a new volume is root's.
func (b *box) fillHome(ctx context.Context) error {
	if len(b.HomeFiles) == 0 && b.keptVolume == "" {
		return nil
	}
	archive, err := packHome(b.HomeFiles, b.agent.uid, b.agent.gid)
	if err != nil {
		return fmt.Errorf("pack HOME: %w", err)
	}
	return b.engine.CopyTo(ctx, b.agent.id, path.Dir(homeInBox), archive)
}

// packHome makes a tar archive of HOME, to be unpacked in the folder that it lies in.
func packHome(files []HomeFile, uid, gid int) (io.Reader, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	made := map[string]bool{}
	var folder func(string) error
	folder = func(dir string) error {
		if made[dir] {
			return nil
		}
		made[dir] = true
		if dir != "." {
			if err := folder(path.Dir(dir)); err != nil {
				return err
			}
		}
		return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path.Join(path.Base(homeInBox), dir) + "/", Mode: 0o700, Uid: uid, Gid: gid})
	}
	err := folder(".")
	for _, f := range files {
		mode := f.Mode
		if mode == 0 {
			mode = 0o600
		}
		err = errors.Join(err, folder(path.Dir(f.Path)), archive.WriteHeader(&tar.Header{
			Name: path.Join(path.Base(homeInBox), f.Path), Mode: mode, Size: int64(len(f.Content)), Uid: uid, Gid: gid,
		}))
		if err != nil {
			return nil, err
		}
		if _, err := archive.Write(f.Content); err != nil {
			return nil, err
		}
	}
	return &out, errors.Join(err, archive.Close())
}
