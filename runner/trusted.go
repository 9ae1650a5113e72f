package runner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/av-project/av/runner/entry"
	"github.com/av-project/av/runner/hostpath"
	"github.com/av-project/av/runner/trust"
)

// trustFormat changes when other files are to be made of the same image and authority, so that what is in the cache of
// an older av is not taken for them.
const trustFormat = "3"

// lookTimeout bounds the looking into an image, which may have much to look at.
const lookTimeout = 5 * time.Minute

// trusting gives the files by which the container's programs trust the CA. An image never changes under its id, so they
// are worked out once for an image and a CA.
func (o *outfit) trusting(ctx context.Context, ca []byte) ([]entry.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTimeout, fmt.Errorf("it took longer than %v", lookTimeout))
	defer cancel()
	sum := sha256.Sum256(append([]byte(trustFormat+"\x00"), ca...))
	kept := filepath.Join(o.cache, fmt.Sprintf("%s-trust-%x.tar", strings.TrimPrefix(o.image.ID, "sha256:"), sum[:8]))
	files, known := unpackFile(kept)
	others := otherPlaces(o.mounts)
	if known && len(others) == 0 {
		return files, nil
	}
	id, err := o.look(ctx)
	if err != nil {
		return nil, err
	}
	image, err := lookInto(ctx, o.engine, id)
	if err == nil && !known {
		files, err = o.trusted(ctx, image, ca, kept)
	}
	if err == nil {
		_, err = realPlaces(ctx, image, others)
	}
	if err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	return without(files, others), nil
}

// trusted works out the files for every container of an image, and keeps them.
func (o *outfit) trusted(ctx context.Context, image trust.Source, ca []byte, kept string) ([]entry.File, error) {
	taken, err := realPlaces(ctx, image, usualPlaces)
	if err == nil {
		err = checkEntry(ctx, image)
	}
	if err != nil {
		return nil, err
	}
	made, err := trust.Files(ctx, image, o.image.Env, ca)
	if err != nil {
		return nil, fmt.Errorf("see what the image trusts: %w", err)
	}
	var files []entry.File
	for _, f := range made {
		files = append(files, file(f.Path[1:], f.Content))
	}
	files = without(files, taken)
	content, err := entry.Pack(files)
	if err != nil {
		return nil, err
	}
	return files, keep(kept, content)
}

// usualPlaces are mounted in every box, but for HOME.
var usualPlaces = []string{workspaceInBox, entry.Program, entry.What, entry.Home, entry.System, entry.Word}

// otherPlaces are those mounts of a box that are in none of the usual places, nor in HOME.
func otherPlaces(mounts []string) (others []string) {
	for _, place := range mounts {
		if !slices.ContainsFunc(append([]string{homeInBox}, usualPlaces...), func(usual string) bool { return hostpath.Within(place, usual) }) {
			others = append(others, place)
		}
	}
	return others
}

// realPlaces gives where something of the host comes to be in a container: at the places of
// mounts, and HOME. An image with a link on the way to a mount is refused. A runtime would
// follow it: with a link from /workspace to /opt/x the user's folder is at /opt/x, and what av
// puts there, or only a place for it, would be made in the user's folder, as root. HOME may
// be elsewhere, and so may the files that av puts beside what an image trusts, as long as
// that is in no such place.
func realPlaces(ctx context.Context, image trust.Source, mounts []string) ([]string, error) {
	for _, place := range mounts {
		real, err := realPlace(ctx, image, place)
		if err != nil {
			return nil, err
		}
		if real != place {
			return nil, &ledAway{place, real}
		}
	}
	home, err := realPlace(ctx, image, homeInBox)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(mounts, func(mount string) bool { return hostpath.Within(home, mount) || hostpath.Within(mount, home) }) {
		return nil, &ledAway{homeInBox, home}
	}
	taken := append([]string{homeInBox, home}, mounts...)
	for _, place := range ownFiles {
		real, err := realPlace(ctx, image, place)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(taken, func(mount string) bool { return hostpath.Within(real, mount) }) {
			return nil, &ledAway{place, real}
		}
	}
	return taken, nil
}

// ownFiles are those of av's in a box, beside what makes it trust and what runner/entry uses.
var ownFiles = []string{"/etc/passwd", "/etc/group", systemGitconfig, "/etc/hosts", "/etc/resolv.conf"}

func realPlace(ctx context.Context, image trust.Source, place string) (string, error) {
	real, err := trust.Real(ctx, image, place)
	if err != nil {
		return "", fmt.Errorf("see where %s is in the image: %w", place, err)
	}
	return real, nil
}

// checkEntry refuses an image with something of its own where av's program is mounted, and
// what that uses. A volume that the image asks for is mounted too, with what the image has
// there in it, and by a link it can come to lie over av's: then the image's program would be
// the first to run, before the walls are proved.
func checkEntry(ctx context.Context, image trust.Source) error {
	for _, place := range []string{entry.Program, entry.What, entry.Home, entry.System, entry.Word} {
		there, err := image.Look(ctx, place)
		if err != nil || there.Kind == trust.None {
			if err != nil {
				return fmt.Errorf("see what is at %s in the image: %w", place, err)
			}
			continue
		}
		// An image that was made of a box has empty files there, which start nothing.
		content, err := image.Read(ctx, place)
		if err != nil || there.Kind != trust.Regular || len(content) > 0 {
			return &hasEntry{place}
		}
	}
	return nil
}

// hasEntry is an image that would have its own program run in the place of av's.
type hasEntry struct{ place string }

func (h *hasEntry) Error() string {
	return fmt.Sprintf("in the image there is a file %s, where av's own is put", h.place)
}
func (h *hasEntry) Hint() string { return "use an image that has nothing in " + path.Dir(h.place) }

// ledAway is a mount that would be elsewhere, by an image's link.
type ledAway struct{ place, real string }

func (l *ledAway) Error() string {
	return fmt.Sprintf("in the image there is a link on the way to %s, where something of yours or av's is put: it leads to %s", l.place, l.real)
}
func (l *ledAway) Hint() string { return "use an image without that link, or mount to another place" }

// without leaves out what would be written into folders of the host that are in the box.
func without(files []entry.File, places []string) []entry.File {
	return slices.DeleteFunc(files, func(f entry.File) bool {
		return slices.ContainsFunc(places, func(place string) bool { return hostpath.Within("/"+f.Path, place) })
	})
}

// unpackFile gives what was kept. A cache that was cut off or has nothing in it is none.
func unpackFile(name string) (files []entry.File, known bool) {
	content, err := os.ReadFile(name)
	if err == nil {
		files, err = entry.Unpack(bytes.NewReader(content))
	}
	return files, err == nil && len(files) > 0
}
