package runner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/av-project/av/runner/entry"
	"github.com/av-project/av/runner/hostpath"
	"github.com/av-project/av/runner/trust"
)

// trustFormat changes when other files are to be made of the same image and authority, so that what is in the cache of
// an older av is not taken for them.
const trustFormat = "1"

// trusting gives the files by which the container's programs trust the CA. An image never changes under its id, so they
// are worked out once for an image and a CA.
func (o *outfit) trusting(ctx context.Context, ca []byte) ([]entry.File, error) {
	sum := sha256.Sum256(append([]byte(trustFormat+"\x00"), ca...))
	kept := filepath.Join(o.cache, fmt.Sprintf("%s-trust-%x.tar", strings.TrimPrefix(o.image.ID, "sha256:"), sum[:8]))
	if content, err := os.ReadFile(kept); err == nil {
		if files, err := entry.Unpack(bytes.NewReader(content)); err == nil {
			return o.inImage(files), nil
		}
	}
	id, err := o.look(ctx)
	if err != nil {
		return nil, err
	}
	image, err := lookInto(ctx, o.engine, id)
	if err != nil {
		return nil, err
	}
	made, err := trust.Files(ctx, image, o.image.Env, ca)
	if err != nil {
		return nil, fmt.Errorf("see what the image trusts: %w", err)
	}
	var files []entry.File
	for _, f := range made {
		files = append(files, entry.File{Path: f.Path[1:], Content: f.Content, Mode: 0o644})
	}
	content, err := entry.Pack(files)
	if err != nil {
		return nil, err
	}
	return o.inImage(files), keep(kept, content)
}

// inImage leaves out what an image's links would have put into folders of the host that are in the box.
func (o *outfit) inImage(files []entry.File) []entry.File {
	return slices.DeleteFunc(files, func(f entry.File) bool {
		return slices.ContainsFunc(o.mounts, func(mount string) bool { return hostpath.Within("/"+f.Path, mount) })
	})
}
