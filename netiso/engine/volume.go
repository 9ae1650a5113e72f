package engine

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"
)

// VolumeInfo is a volume that exists. A volume has no id: its name is all there is.
type VolumeInfo struct {
	Name   string
	Labels map[string]string
	Made   time.Time // zero where the engine does not tell
}

// Volumes lists the volumes that carry every one of the labels.
func (e *Engine) Volumes(ctx context.Context, labels map[string]string) ([]VolumeInfo, error) {
	list, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, wrap(err, "list volumes")
	}
	var out []VolumeInfo
	for _, v := range list.Volumes {
		made, _ := time.Parse(time.RFC3339, v.CreatedAt) // zero if it is not told
		out = append(out, VolumeInfo{Name: v.Name, Labels: v.Labels, Made: made})
	}
	return out, nil
}

// RemoveVolume removes a volume that no container uses; one that is gone already is a
// success.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	return wrap(gone(e.api.VolumeRemove(ctx, name, false)), "remove volume %s", name)
}

// CreateVolume makes a volume, and gives the labels that it has: those of one that was
// there before are its own.
func (e *Engine) CreateVolume(ctx context.Context, name string, labels map[string]string) (map[string]string, error) {
	v, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Labels: labels})
	return v.Labels, wrap(err, "create volume %s", name)
}

// VolumeUsers gives the containers that run with a volume.
func (e *Engine) VolumeUsers(ctx context.Context, name string) ([]string, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("volume", name))})
	var ids []string
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids, wrap(err, "ask who uses volume %s", name)
}
