package runner

import (
	"context"
	"fmt"

	"github.com/av-project/av/netiso/engine"
)

// Limits is what the box may take of its machine; zero is the default of each.
type Limits struct {
	Memory int64 // bytes, with what is written to HOME and other folders of memory
	CPUs   float64
	Pids   int64
}

const (
	// agentPids bounds a fork bomb.
	agentPids = 4096
	// sharedSize is /dev/shm, in bytes. An engine gives 64 MiB, on which browsers crash.
	sharedSize = 1 << 30
)

// limits asks the engine for its machine, and gives what the box may take of it.
func (b *box) limits(ctx context.Context) (engine.Limits, error) {
	machine, err := b.engine.Machine(ctx)
	if err != nil {
		return engine.Limits{}, err
	}
	if b.Runtime == "" { // one that is named was judged before
		if err := CheckRuntime(machine.DefaultRuntime, b.HostWalls); err != nil {
			return engine.Limits{}, err
		}
	}
	return b.Limits.on(machine)
}

// on gives the limits of a box on a machine, on which a person goes on working: a quarter
// of the memory and half a processor are not the box's, unless somebody says so.
func (l Limits) on(m engine.Machine) (engine.Limits, error) {
	switch {
	case l.Memory > m.Memory:
		return engine.Limits{}, &tooMuch{fmt.Sprintf("--memory asks for %d bytes, and the engine's machine has %d", l.Memory, m.Memory)}
	case l.CPUs > float64(m.CPUs):
		return engine.Limits{}, &tooMuch{fmt.Sprintf("--cpus asks for %g, and the engine's machine has %d", l.CPUs, m.CPUs)}
	}
	limits := engine.Limits{
		Memory: l.Memory, CPUs: l.CPUs, PidsLimit: l.Pids,
		SharedSize: sharedSize, Expendable: true,
	}
	if limits.Memory == 0 {
		limits.Memory = m.Memory / 4 * 3
	}
	if limits.CPUs == 0 {
		limits.CPUs = max(float64(m.CPUs)-0.5, 0.75)
	}
	if limits.PidsLimit == 0 {
		limits.PidsLimit = agentPids
	}
	return limits, nil
}

// explainMemory says that the box ran out of its memory, if a command that failed did.
func (a *agent) explainMemory(ctx context.Context, b *box) {
	if out, err := a.engine.OutOfMemory(ctx, a.id); err == nil && out {
		b.Say("the box ran out of its memory, and the kernel ended what took most of it; --memory gives it more")
	}
}

// tooMuch is a limit that would be none.
type tooMuch struct{ why string }

func (t *tooMuch) Error() string { return t.why }
func (t *tooMuch) Hint() string  { return "ask for less, or leave the flag out for av's default" }
