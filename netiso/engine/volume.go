package engine

import (
	"context"
	"time"

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
