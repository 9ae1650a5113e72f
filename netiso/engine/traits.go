package engine

import (
	"context"
	"slices"
	"strings"
)

// Traits are what an engine is that does not run as the machine's own root.
type Traits struct {
	// Desktop: it runs in a virtual machine of its own, beside this machine's kernel.
	Desktop bool
	// Rootless: it runs as a user, who is root to its containers.
	Rootless bool
}

// ordinary are the places of an engine that runs as this machine's root. It is not asked
// what it is: that would take as long as to create a container.
var ordinary = []string{"unix:///var/run/docker.sock", "unix:///run/docker.sock"}

// Traits tells what the engine is.
func (e *Engine) Traits(ctx context.Context) (Traits, error) {
	if slices.Contains(ordinary, e.host) && !elsewhere {
		return Traits{}, nil
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return Traits{}, wrap(err, "ask the engine what it is")
	}
	return traits(info.OperatingSystem, info.SecurityOptions), nil
}

func traits(system string, options []string) Traits {
	return Traits{
		Desktop:  elsewhere || strings.Contains(system, "Docker Desktop"),
		Rootless: slices.ContainsFunc(options, func(o string) bool { return strings.Contains(o, "name=rootless") }),
	}
}
