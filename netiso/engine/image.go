package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/docker/docker/api/types/build"
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
	answer, err := e.api.ImageBuild(ctx, tar, build.ImageBuildOptions{
		Tags: []string{tag}, Labels: labels, Remove: true, ForceRemove: true,
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
