package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/system"
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
	info, err := e.info(ctx)
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

// info is what the engine says of itself, which it takes its time for: it is asked once. A
// question that failed is asked again.
func (e *Engine) info(ctx context.Context) (system.Info, error) {
	e.asking.Lock()
	defer e.asking.Unlock()
	if e.told != nil {
		return *e.told, nil
	}
	info, err := e.api.Info(ctx)
	if err == nil {
		e.told = &info
	}
	return info, err
}
