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
	"slices"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/hostpath"
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
	var places []string
	for _, bind := range b.placed.binds {
		places = append(places, bind.Target)
	}
	for _, s := range b.Share {
		places = append(places, path.Join(homeInBox, filepath.ToSlash(s.Target)))
	}
	files := ofTheBox(b.HomeFiles, places)
	if b.keptVolume != "" {
		// What the agent made of them in an earlier run is what it kept.
		files = slices.DeleteFunc(files, func(f HomeFile) bool {
			_, err := b.engine.Stat(ctx, b.agent.id, path.Join(homeInBox, f.Path))
			return !errors.Is(err, engine.ErrNotFound)
		})
	}
	if len(files) == 0 && b.keptVolume == "" {
		return nil
	}
	archive, err := packHome(files, b.agent.uid, b.agent.gid)
	if err != nil {
		return fmt.Errorf("pack HOME: %w", err)
	}
	return b.engine.CopyTo(ctx, b.agent.id, path.Dir(homeInBox), archive)
}

// ofTheBox leaves out what would be written into a folder or file of the host that is put
// into HOME: a user's own settings stay as they are.
func ofTheBox(files []HomeFile, places []string) []HomeFile {
	return slices.DeleteFunc(slices.Clone(files), func(f HomeFile) bool {
		return slices.ContainsFunc(places, func(place string) bool { return hostpath.Within(path.Join(homeInBox, f.Path), place) })
	})
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
