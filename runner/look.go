package runner

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/trust"
)

// createBare makes a container of the image that never runs, to read from. It has none of the run's mounts: in the agent's
// own, a link of the image into the workspace would be read with the engine's rights, and kept for other workspaces.
func (b *box) createBare(ctx context.Context, image engine.Image) (id string, err error) {
	create, done := b.creating(ctx)
	defer done()
	id, err = b.engine.CreateContainer(create, engine.Container{
		Name: b.run.Bare(), Image: image.ID, Labels: b.run.Labels(),
		Entrypoint: []string{"/never-run"}, Network: engine.NoNetwork,
	})
	if err != nil {
		return "", err
	}
	b.undo.add(rankAgent, func(ctx context.Context) error { return b.engine.RemoveContainer(ctx, id) })
	return id, ctx.Err()
}

// mounted are the places in the agent's container that are not its image's.
func (b *box) mounted() []string {
	places := []string{workspaceInBox, homeInBox}
	for _, bind := range b.placed.binds {
		places = append(places, bind.Target)
	}
	return places
}

// imageFiles is an image that is looked into by a container of it. An engine takes its time for each look, so that all
// of /etc is read at once, where most of what is looked for lies.
type imageFiles struct {
	engine *engine.Engine
	id     string
	etc    map[string]treeEntry // nil: it is too large, or no folder
}

type treeEntry struct {
	trust.Entry
	content []byte
	long    bool // longer than what is read of a file
}

const (
	// maxTree is how much of a folder is read at once, in bytes of an archive.
	maxTree = 32 << 20
	// maxTreeEntries is how many names are read.
	maxTreeEntries = 16384
)

func lookInto(ctx context.Context, e *engine.Engine, id string) (*imageFiles, error) {
	etc, err := readTree(ctx, e, id, "/etc")
	if err != nil && !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, errTooLarge) {
		return nil, err
	}
	if etc["/etc"].Kind != trust.Dir {
		etc = nil
	}
	return &imageFiles{e, id, etc}, nil
}

var errTooLarge = errors.New("too large to be read at once")

// readTree reads a folder with all that is in it, except the content of files that are longer than what is read of one.
func readTree(ctx context.Context, e *engine.Engine, id, dir string) (map[string]treeEntry, error) {
	body, err := e.CopyFrom(ctx, id, dir)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	limited := &io.LimitedReader{R: body, N: maxTree}
	archive := tar.NewReader(limited)
	tree := map[string]treeEntry{}
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) && limited.N > 0 {
			return tree, nil
		}
		if limited.N <= 0 || len(tree) == maxTreeEntries {
			return nil, errTooLarge
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", dir, err)
		}
		// The archive calls the folder by its last name.
		name := path.Join(path.Dir(dir), header.Name)
		entry := treeEntry{Entry: trust.Entry{Kind: kindOf(header.FileInfo().Mode()), Link: header.Linkname}}
		switch header.Typeflag {
		case tar.TypeReg:
			if entry.long = header.Size > maxBundle; entry.long {
				break
			}
			if entry.content, err = io.ReadAll(archive); err != nil {
				if limited.N <= 0 {
					return nil, errTooLarge
				}
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
		case tar.TypeLink: // another name of a file that came before
			entry = tree[path.Join(path.Dir(dir), header.Linkname)]
		}
		tree[name] = entry
	}
}

func kindOf(mode fs.FileMode) trust.Kind {
	switch {
	case mode.IsDir():
		return trust.Dir
	case mode.IsRegular():
		return trust.Regular
	case mode&fs.ModeSymlink != 0:
		return trust.Link
	}
	return trust.Other
}

// inEtc tells whether all of a path is known.
func (i *imageFiles) inEtc(name string) bool {
	return i.etc != nil && (name == "/etc" || strings.HasPrefix(name, "/etc/"))
}

func (i *imageFiles) Look(ctx context.Context, name string) (trust.Entry, error) {
	if i.inEtc(name) {
		return i.etc[name].Entry, nil
	}
	mode, link, err := i.engine.Lstat(ctx, i.id, name)
	if errors.Is(err, engine.ErrNotFound) {
		return trust.Entry{}, nil
	}
	if err != nil {
		// An engine follows a link to its end, and fails where that is a circle. The folder that
		// it lies in shows what it says itself.
		if tree, failed := readTree(ctx, i.engine, i.id, path.Dir(name)); failed == nil {
			return tree[name].Entry, nil
		}
	}
	return trust.Entry{Kind: kindOf(mode), Link: link}, err
}

func (i *imageFiles) Read(ctx context.Context, name string) ([]byte, error) {
	if i.inEtc(name) && !i.etc[name].long {
		return i.etc[name].content, nil
	}
	return readFile(ctx, i.engine, i.id, name)
}

func (i *imageFiles) List(ctx context.Context, dir string) ([]string, error) {
	tree := i.etc
	if !i.inEtc(dir) {
		var err error
		if tree, err = readTree(ctx, i.engine, i.id, dir); err != nil && !errors.Is(err, errTooLarge) {
			return nil, err
		}
	}
	var names []string
	for name := range tree {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}
