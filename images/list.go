package images

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/av-project/av/netiso/engine"
)

// Built is an image of av's that is on the engine.
type Built struct {
	Image string    `json:"image"` // its tag
	ID    string    `json:"id"`
	Made  time.Time `json:"made"`
	Size  int64     `json:"size"` // bytes
	// Current says that runs of this av use it; Used, that a container is there that does.
	Current bool `json:"current"`
	Used    bool `json:"used"`
	// Known says that it is one of this av's: an agent that somebody else has described is
	// not ours to judge.
	Known bool `json:"known"`
}

// stale tells whether nothing needs an image any more.
func (b Built) stale() bool { return b.Known && !b.Current && !b.Used }

// Of tells whether it is the image of an agent.
func (b Built) Of(agent string) bool { return strings.HasPrefix(b.Image, agentPrefix+agent+":") }

// List gives av's images, by name and then the newest first. The recipes are those of the
// agents that are known.
func (b Builder) List(ctx context.Context, recipes []Recipe) ([]Built, error) {
	_, identity, err := linuxProgram(b.Program)
	if err != nil {
		return nil, err
	}
	current := map[string]string{gateName: tagOf(gateName, gateDockerfile, identity), baseName: baseTag()}
	for _, r := range recipes {
		current[agentPrefix+r.Name] = r.Tag()
	}
	found, err := b.Engine.Images(ctx, label)
	if err != nil {
		return nil, err
	}
	used, err := b.Engine.ImagesInUse(ctx)
	if err != nil {
		return nil, err
	}
	return judge(found, used, current), nil
}

// judge says of each image what is known of it. current has the tag of each name.
func judge(found []engine.ImageInfo, used map[string]bool, current map[string]string) (list []Built) {
	for _, i := range found {
		name := i.Labels[label]
		if name != gateName && name != baseName && !strings.HasPrefix(name, agentPrefix) {
			continue
		}
		// A name that somebody else gave an image of ours is not ours to take away, and the
		// label alone makes none ours: an image that is built on one inherits it.
		for _, tag := range i.Tags {
			if before, _, _ := strings.Cut(tag, ":"); before != name {
				continue
			}
			now, known := current[name]
			list = append(list, Built{Image: tag, ID: i.ID, Made: i.Made, Size: i.Size, Current: tag == now, Used: used[i.ID], Known: known})
		}
	}
	slices.SortFunc(list, func(a, b Built) int {
		nameOf := func(x Built) string { name, _, _ := strings.Cut(x.Image, ":"); return name }
		return cmp.Or(cmp.Compare(nameOf(a), nameOf(b)), b.Made.Compare(a.Made), cmp.Compare(a.Image, b.Image))
	})
	return list
}

// Prune removes the images of a list that nothing needs any more, and returns those. The
// engine has the last word: one that a container uses by now stays.
func (b Builder) Prune(ctx context.Context, list []Built) (removed []Built, err error) {
	for _, i := range list {
		if !i.stale() {
			continue
		}
		switch failed := b.Engine.RemoveImage(ctx, i.Image); {
		case failed == nil:
			removed = append(removed, i)
		case !errors.Is(failed, engine.ErrConflict):
			err = errors.Join(err, failed)
		}
	}
	return removed, err
}
