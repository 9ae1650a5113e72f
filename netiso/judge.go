package netiso

import (
	"fmt"
	"strings"
	"time"
)

// sighting is what is known of a run when prune asks whether it is dead.
type sighting struct {
	ours bool // it belongs to this av home
	// held: a process holds its lock. It can be asked of this home's runs alone.
	held bool
	// ended: its folder was there when it was listed and is gone now.
	ended bool
	// runs: a container with its labels runs. A gate ends with its av, however that ends.
	runs bool
	// newest is when the youngest thing of it was made; zero where nothing tells.
	newest time.Time
}

// dead tells whether what a run has may be removed, and why, or why not. The lock
// decides for this home's runs: no process id, start of the machine or clock is asked.
// An age only ever spares.
func dead(s sighting, olderThan time.Duration, now time.Time) (reason string, ok bool) {
	switch {
	case s.held:
		return "its lock is held", false
	case s.ended:
		return "it has ended by itself", false
	case !s.ours && olderThan <= 0:
		return "it is another av home's", false
	case !s.ours && s.runs:
		return "it is another av home's, and runs", false
	case olderThan > 0 && s.newest.IsZero():
		return "its age is not known", false
	case olderThan > 0 && now.Sub(s.newest) < olderThan:
		return fmt.Sprintf("it is not older than %v", olderThan), false
	case s.ours:
		return "no process holds its lock", true
	}
	return fmt.Sprintf("it is another av home's, older than %v, and nothing of it runs", olderThan), true
}

// claim gives the run that a thing on the engine belongs to. Labels and name, not labels
// alone: `docker commit` hands a container's labels on to an image, and so to whatever
// its owner makes of it. Not the name alone: anybody may call a thing so.
func claim(kind, name string, labels map[string]string) (Run, bool) {
	run, ok := labelled(labels)
	if !ok {
		return Run{}, false
	}
	switch kind {
	case KindContainer:
		ok = name == run.Gate() || name == run.Agent() || name == run.Bare() || name == run.Giver()
	case KindKeeper:
		ok = name == run.Keeper()
	case KindNetwork:
		ok = name == run.Network()
	case KindVolume:
		ok = strings.HasPrefix(name, run.Network()+"-")
	default:
		ok = false
	}
	return run, ok
}

// labelled gives the run that labels name, if they are such as av gives.
func labelled(labels map[string]string) (Run, bool) {
	run := Run{ID: labels[LabelRun], Owner: labels[LabelOwner]}
	return run, run.owns(labels) && ownerName.MatchString(run.Owner)
}
