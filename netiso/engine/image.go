package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
)

// Image is what av needs to know of an image on the engine.
type Image struct {
	ID  string
	Env []string
}

// Image looks an image up on the engine. ErrNotFound says that it is not there.
func (e *Engine) Image(ctx context.Context, ref string) (Image, error) {
	found, err := e.api.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, wrap(err, "look for image %s", ref)
	}
	img := Image{ID: found.ID}
	if found.Config != nil {
		img.Env = found.Config.Env
	}
	return img, nil
}

// Pull fetches an image from its registry; progress gets a line now and then.
func (e *Engine) Pull(ctx context.Context, ref string, progress func(string)) error {
	body, err := e.api.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		return wrap(err, "pull image %s", ref)
	}
	defer body.Close()
	return wrap(follow(body, progress), "pull image %s", ref)
}

// Build builds an image from a tar archive that holds a Dockerfile and what it
// copies, and tags it. progress gets the build's output.
func (e *Engine) Build(ctx context.Context, tag string, tar io.Reader, labels map[string]string, progress func(string)) error {
	return e.BuildArgs(ctx, tag, tar, labels, nil, progress)
}

// BuildArgs is Build with arguments for the Dockerfile.
func (e *Engine) BuildArgs(ctx context.Context, tag string, tar io.Reader, labels, args map[string]string, progress func(string)) error {
	given := map[string]*string{}
	for name, value := range args {
		given[name] = &value
	}
	answer, err := e.api.ImageBuild(ctx, tar, build.ImageBuildOptions{
		Tags: []string{tag}, Labels: labels, BuildArgs: given, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return wrap(err, "build image %s", tag)
	}
	defer answer.Body.Close()
	return wrap(follow(answer.Body, progress), "build image %s", tag)
}

// follow reads the engine's stream of JSON messages to its end. An error in it
// comes after a 200, so the stream has to be read to know.
func follow(body io.Reader, progress func(string)) error {
	messages := json.NewDecoder(body)
	for {
		var m struct{ Stream, Status, ID, Error string }
		switch err := messages.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the engine's progress: %w", err)
		case m.Error != "":
			return errors.New(m.Error)
		case m.Stream != "":
			progress(m.Stream)
		case m.Status != "" && m.ID == "":
			progress(m.Status + "\n")
		}
	}
}

// ImageInfo is an image that exists.
type ImageInfo struct {
	ID     string
	Tags   []string
	Labels map[string]string
	Made   time.Time
	Size   int64
}

// Images lists the images that carry a label, whatever its value.
func (e *Engine) Images(ctx context.Context, label string) ([]ImageInfo, error) {
	list, err := e.api.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("label", label))})
	if err != nil {
		return nil, wrap(err, "list images")
	}
	var out []ImageInfo
	for _, i := range list {
		out = append(out, ImageInfo{ID: i.ID, Tags: i.RepoTags, Labels: i.Labels, Made: time.Unix(i.Created, 0), Size: i.Size})
	}
	return out, nil
}

// ImagesInUse gives the ids of the images of which there are containers, running or not.
func (e *Engine) ImagesInUse(ctx context.Context) (map[string]bool, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, wrap(err, "list containers")
	}
	used := map[string]bool{}
	for _, c := range list {
		used[c.ImageID] = true
	}
	return used, nil
}

// RemoveImage takes a tag away, and the image if that was its last; one that is gone already
// is a success. ErrConflict says that a container uses it.
func (e *Engine) RemoveImage(ctx context.Context, tag string) error {
	_, err := e.api.ImageRemove(ctx, tag, image.RemoveOptions{PruneChildren: true})
	return wrap(gone(err), "remove image %s", tag)
}
