package engine

import (
	"context"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// Connection is a container that was connected to a network. Network and Container are
// ids.
type Connection struct {
	Network, Name, Container string
}

// Connections tells of every container that is connected to a network, since a moment
// that may be past. The second channel gets one error when the engine tells no more.
func (e *Engine) Connections(ctx context.Context, since time.Time) (<-chan Connection, <-chan error) {
	messages, failed := e.api.Events(ctx, events.ListOptions{
		Since: strconv.FormatInt(since.Unix(), 10),
		Filters: filters.NewArgs(filters.Arg("type", string(events.NetworkEventType)),
			filters.Arg("event", string(events.ActionConnect))),
	})
	connections := make(chan Connection)
	ended := make(chan error, 1)
	go func() {
		for {
			select {
			case m := <-messages:
				c := Connection{Network: m.Actor.ID, Name: m.Actor.Attributes["name"], Container: m.Actor.Attributes["container"]}
				select {
				case connections <- c:
				case <-ctx.Done():
				}
			case err := <-failed:
				ended <- wrap(err, "watch what is connected")
				return
			}
		}
	}()
	return connections, ended
}

// ConnectedTo gives the networks that a container is on, by id, with their names.
func (e *Engine) ConnectedTo(ctx context.Context, container string) (map[string]string, error) {
	c, err := e.api.ContainerInspect(ctx, container)
	if err != nil {
		return nil, wrap(err, "ask what container %s is connected to", container)
	}
	networks := map[string]string{}
	if c.NetworkSettings == nil {
		return networks, nil
	}
	for name, n := range c.NetworkSettings.Networks {
		if n != nil {
			networks[n.NetworkID] = name
		}
	}
	return networks, nil
}
