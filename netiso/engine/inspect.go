package engine

import (
	"context"
	"fmt"
)

// NetworkNamespace is the path of a running container's network namespace, on the
// engine's own machine.
func (e *Engine) NetworkNamespace(ctx context.Context, id string) (string, error) {
	found, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return "", wrap(err, "look for container %s", id)
	}
	if found.State == nil || found.State.Pid == 0 {
		return "", fmt.Errorf("container %s does not run", id)
	}
	return fmt.Sprintf("/proc/%d/ns/net", found.State.Pid), nil
}
