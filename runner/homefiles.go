package runner

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/av-project/av/runner/entry"
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

// bringHome brings what HOME begins with.
func (b *box) bringHome() error {
	var places []string
	for _, bind := range b.placed.binds {
		places = append(places, bind.Target)
	}
	files := withFolders(ofTheBox(b.HomeFiles, places))
	if len(files) == 0 {
		return nil
	}
	b.orders.Home = homeInBox
	return b.bringArchive("home.tar", entry.Home, files)
}

// ofTheBox leaves out what would be written into a folder or file of the host that is put
// into HOME: a user's own settings stay as they are.
func ofTheBox(files []HomeFile, places []string) []HomeFile {
	return slices.DeleteFunc(slices.Clone(files), func(f HomeFile) bool {
		return slices.ContainsFunc(places, func(place string) bool { return hostpath.Within(path.Join(homeInBox, f.Path), place) })
	})
}

// withFolders puts the folders on the way before the files that lie in them.
func withFolders(files []HomeFile) (all []entry.File) {
	made := map[string]bool{".": true}
	var folder func(string)
	folder = func(dir string) {
		if made[dir] {
			return
		}
		made[dir] = true
		folder(path.Dir(dir))
		all = append(all, entry.File{Path: dir, Mode: 0o700})
	}
	for _, f := range files {
		folder(path.Dir(f.Path))
		content := append([]byte{}, f.Content...) // not nil: it is a file
		all = append(all, entry.File{Path: f.Path, Content: content, Mode: cmp.Or(f.Mode, 0o600)})
	}
	return all
}
