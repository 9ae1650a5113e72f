package engine

import (
	"context"

	"github.com/docker/docker/api/types/container"
)

// Limits is what a container may take of its machine. The kernel holds it to them.
type Limits struct {
	Memory     int64   // bytes, with what its tmpfs hold; 0: no limit but the machine's
	CPUs       float64 // processors' worth of time; 0: all of it
	PidsLimit  int64
	SharedSize int64 // bytes of /dev/shm; 0: the engine's default
	// Expendable: when the whole machine lacks memory, this goes first.
	Expendable bool
}

// expendable is how the kernel weighs a process that may go first, of 1000.
const expendable = 500

func (l Limits) put(host *container.HostConfig) {
	host.PidsLimit = &l.PidsLimit
	host.Memory = l.Memory
	// Swap counts too: else the same again could be taken of the host's disk.
	host.MemorySwap = l.Memory
	host.NanoCPUs = int64(l.CPUs * 1e9)
	host.ShmSize = l.SharedSize
	// A core is written where the host's core_pattern says, or by the host's own program.
	// How many files a process may open is the engine's word: it may not be able to give more.
	host.Ulimits = append(host.Ulimits, &container.Ulimit{Name: "core", Soft: 0, Hard: 0})
	if l.Expendable {
		host.OomScoreAdj = expendable
	}
}

// Machine is what an engine runs on.
type Machine struct {
	Memory         int64 // bytes
	CPUs           int
	DefaultRuntime string
}

// Machine asks the engine what it runs on: it may be another machine than ours.
func (e *Engine) Machine(ctx context.Context) (Machine, error) {
	info, err := e.info(ctx)
	if err != nil {
		return Machine{}, wrap(err, "ask the engine for its machine")
	}
	return Machine{info.MemTotal, info.NCPU, info.DefaultRuntime}, nil
}

// OutOfMemory tells whether the kernel has killed in a container for lack of memory.
func (e *Engine) OutOfMemory(ctx context.Context, id string) (bool, error) {
	c, err := e.api.ContainerInspect(ctx, id)
	if err != nil || c.State == nil {
		return false, wrap(err, "ask how container %s ended", id)
	}
	return c.State.OOMKilled, nil
}
