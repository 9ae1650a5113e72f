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
	"strings"

	"github.com/av-project/av/netiso/engine"
)

const (
	// bundleInBox holds the image's own roots and av's CA.
	bundleInBox = "/etc/av/ca-bundle.pem"
	// systemBundle is where Debian, Ubuntu and Alpine keep theirs. It is replaced in
	// the container, for the programs that look at no variable.
	systemBundle = "/etc/ssl/certs/ca-certificates.crt"
	// maxBundle is the longest bundle that is read out of an image, in bytes.
	maxBundle = 4 << 20
)

// installCA makes the box trust the proxy's certificates. cache is a folder for what
// was read out of images before.
func installCA(ctx context.Context, e *engine.Engine, id string, image engine.Image, cache string, ca []byte) error {
	roots, err := imageRoots(ctx, e, id, image, cache)
	if err != nil {
		return err
	}
	bundle := slices.Concat(bytes.TrimRight(roots, "\n"), []byte("\n"), ca)
	files := []file{{"etc/av", nil}, {bundleInBox[1:], bundle}}
	if len(roots) > 0 {
		files = append(files, file{systemBundle[1:], bundle})
	}
	archive, err := pack(files)
	if err != nil {
		return fmt.Errorf("pack the CA bundle: %w", err)
	}
	return e.CopyTo(ctx, id, "/", archive)
}

// imageRoots gives the roots that an image trusts, empty where it has none. An image
// never changes under its id, so they are read out of it once: that takes an engine
// as long as to start a container.
func imageRoots(ctx context.Context, e *engine.Engine, id string, image engine.Image, cache string) ([]byte, error) {
	kept := filepath.Join(cache, "roots-"+strings.TrimPrefix(image.ID, "sha256:")+".pem")
	if roots, err := os.ReadFile(kept); err == nil {
		return roots, nil
	}
	roots, err := readFile(ctx, e, id, systemBundle)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, err
	}
	return roots, keep(kept, roots)
}

// keep writes a file of the cache in one step, so that nobody reads half of it.
func keep(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write to the cache: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write to the cache: %w", err)
	}
	return nil
}

// file goes into a container; without content it is a folder.
type file struct {
	path    string
	content []byte
}

// pack makes a tar archive of files that belong to root and that anyone may read.
func pack(files []file) (io.Reader, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.path, Mode: 0o644, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if f.content == nil {
			header.Mode, header.Typeflag = 0o755, tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(f.content); err != nil {
			return nil, err
		}
	}
	return &out, archive.Close()
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
