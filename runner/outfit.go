package runner

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/entry"
)

// maxBundle is the longest bundle that is read out of an image, in bytes.
const maxBundle = 4 << 20

// outfit works out of an image what a box of it needs.
type outfit struct {
	engine *engine.Engine
	image  engine.Image
	cache  string // a folder for what was read out of images before
	// bare makes a container of the image to read from. It is made when something is not in the cache.
	bare func(context.Context) (string, error)
	// mounts are the places in the container that are not the image's.
	mounts []string

	making sync.Mutex
	bareID string
}

// dress brings into the box the CA, and entries for the user that its command runs as,
// without which git, ssh and npm do not know who they are, and what HOME begins with.
func (b *box) dress(ctx context.Context, image engine.Image, uid, gid int) error {
	clothes := outfit{engine: b.engine, image: image, cache: filepath.Join(b.Home, "cache"),
		bare: func(ctx context.Context) (string, error) { return b.createBare(ctx, image) }, mounts: b.mounted()}
	files, err := clothes.files(ctx, b.Broker.CA(), uid, gid, b.Git)
	if err != nil {
		return err
	}
	if err := b.bring(files); err != nil {
		return err
	}
	return b.bringHome()
}

// bring brings files into the box, in the place of its image's. They are mounted, so that
// the engine has nothing to do for it: to copy them into a container takes it as long as to
// start one. Root in the box gets files like any others: a package that adds a user wants to
// put a new passwd in the place of the old one, which a mount does not let it.
func (b *box) bring(files []entry.File) error {
	if b.Root && !b.ReadOnly {
		b.orders.System = true
		return b.bringArchive("system.tar", entry.System, files)
	}
	for i, f := range files {
		later := func(other entry.File) bool { return other.Path == f.Path }
		if f.Content == nil || slices.ContainsFunc(files[i+1:], later) {
			continue // an engine makes the folders on the way; of two files the later counts
		}
		source := filepath.Join(b.lease.Dir, fmt.Sprintf("file-%d", i))
		if err := os.WriteFile(source, f.Content, 0o444); err != nil {
			return fmt.Errorf("write the box's files: %w", err)
		}
		b.brought = append(b.brought, engine.Bind{Source: source, Target: "/" + f.Path, ReadOnly: true})
	}
	return nil
}

func (b *box) bringArchive(name, target string, files []entry.File) error {
	content, err := entry.Pack(files)
	if err != nil {
		return err
	}
	source := filepath.Join(b.lease.Dir, name)
	if err := os.WriteFile(source, content, 0o444); err != nil {
		return fmt.Errorf("write the box's files: %w", err)
	}
	b.brought = append(b.brought, engine.Bind{Source: source, Target: target, ReadOnly: true})
	return nil
}

// files gives what the container's image lacks.
func (o *outfit) files(ctx context.Context, ca []byte, uid, gid int, git Git) ([]entry.File, error) {
	var files []entry.File
	var users, groups, gitconfig []byte
	err := together(
		func() (err error) { files, err = o.trusting(ctx, ca); return err },
		func() (err error) { users, err = o.read(ctx, "/etc/passwd"); return err },
		func() (err error) { groups, err = o.read(ctx, "/etc/group"); return err },
		func() (err error) { gitconfig, err = o.read(ctx, systemGitconfig); return err },
	)
	if err = errors.Join(err, o.undress(ctx)); err != nil {
		return nil, err
	}
	files = append(files, gitFiles(git, gitconfig)...)
	if entry := fmt.Sprintf("agent:x:%d:%d::%s:/bin/sh\n", uid, gid, homeInBox); !hasID(users, uid) {
		files = append(files, file("etc/passwd", appendLine(users, entry)))
	}
	if entry := fmt.Sprintf("agent:x:%d:\n", gid); !hasID(groups, gid) {
		files = append(files, file("etc/group", appendLine(groups, entry)))
	}
	return files, nil
}

// look gives the container to read from.
func (o *outfit) look(ctx context.Context) (id string, err error) {
	o.making.Lock()
	defer o.making.Unlock()
	if o.bareID == "" {
		o.bareID, err = o.bare(ctx)
	}
	return o.bareID, err
}

// undress removes the container to read from, if there is one.
func (o *outfit) undress(ctx context.Context) error {
	if o.bareID == "" {
		return nil
	}
	return o.engine.RemoveContainer(ctx, o.bareID)
}

// hasID tells whether a passwd or group file names a numeric id.
func hasID(file []byte, id int) bool {
	for line := range bytes.Lines(file) {
		if fields := bytes.Split(bytes.TrimSpace(line), []byte(":")); len(fields) > 2 && string(fields[2]) == strconv.Itoa(id) {
			return true
		}
	}
	return false
}

func appendLine(file []byte, line string) []byte {
	if len(file) > 0 && !bytes.HasSuffix(file, []byte("\n")) {
		line = "\n" + line
	}
	return append(bytes.Clone(file), line...)
}

// read gives a file of the image, empty where it has none. An image never changes
// under its id, so a file is read out of it once: that takes an engine as long as to
// start a container.
func (o *outfit) read(ctx context.Context, name string) ([]byte, error) {
	kept := filepath.Join(o.cache, strings.TrimPrefix(o.image.ID, "sha256:")+"-"+path.Base(name))
	if content, err := os.ReadFile(kept); err == nil {
		return content, nil
	}
	id, err := o.look(ctx)
	if err != nil {
		return nil, err
	}
	content, err := readFile(ctx, o.engine, id, name)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, err
	}
	return content, keep(kept, content)
}

// keep writes a file of the cache in one step, so that nobody reads half of it.
func keep(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	if err := writeWhole(path, content); err != nil {
		return fmt.Errorf("write to the cache: %w", err)
	}
	return nil
}

// writeWhole writes a file of mode 0600 in one step.
func writeWhole(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// file is one that belongs to root and that anyone may read.
func file(path string, content []byte) entry.File {
	return entry.File{Path: path, Content: content, Mode: 0o644}
}

// maxLinks is how many symbolic links are followed on the way to a file.
const maxLinks = 8

// readFile reads one file of a container that has not started. ErrNotFound says that
// there is no regular file.
func readFile(ctx context.Context, e *engine.Engine, id, name string) ([]byte, error) {
	for range maxLinks {
		content, link, err := readEntry(ctx, e, id, name)
		if err != nil || link == "" {
			return content, err
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(name), link)
		}
		name = link
	}
	return nil, fmt.Errorf("read %s: more than %d symbolic links", name, maxLinks)
}

// readEntry reads a file, or where a symbolic link leads.
func readEntry(ctx context.Context, e *engine.Engine, id, name string) (content []byte, link string, err error) {
	body, err := e.CopyFrom(ctx, id, name)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	archive := tar.NewReader(body)
	header, err := archive.Next()
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", name, err)
	}
	switch header.Typeflag {
	case tar.TypeReg:
	case tar.TypeSymlink:
		return nil, header.Linkname, nil
	default:
		return nil, "", fmt.Errorf("read %s: %w", name, engine.ErrNotFound)
	}
	content, err = io.ReadAll(io.LimitReader(archive, maxBundle+1))
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", name, err)
	}
	if len(content) > maxBundle {
		return nil, "", fmt.Errorf("read %s: longer than %d bytes", name, maxBundle)
	}
	return content, "", nil
}
