package netiso

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/netiso/firewall"
)

// Kinds of things that a dead run can leave, in the order in which they are removed:
// a network cannot go before what is attached to it, and the folder goes last, so
// that an interrupted prune finds the run again.
const (
	KindContainer = "container"
	KindNetwork   = "network"
	KindHostWalls = "host rules"
	KindFolder    = "run folder"
)

var kindOrder = map[string]int{KindContainer: 0, KindNetwork: 1, KindHostWalls: 2, KindFolder: 3}

// Leftover is one thing that a dead run left.
type Leftover struct {
	Run  string `json:"run"`
	Kind string `json:"kind"`
	Name string `json:"name"`
	id   string
	plan firewall.Plan
}

// Pruner finds and removes what dead runs of one av home left.
type Pruner struct {
	Home  string
	Owner string
	// Engine is nil where no engine answers; only the host is looked at then.
	Engine *engine.Engine
	// Walls is nil where av may not read the host's rules.
	Walls *firewall.Host
}

// Prune removes what dead runs left, and tells each thing as it goes. What belongs
// to a live run is not touched: its lock is held. A failure with one thing does not
// stop the rest.
func (p *Pruner) Prune(ctx context.Context, removed func(Leftover)) error {
	found, err := p.find(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, run := range runsOf(found) {
		failed = append(failed, p.pruneRun(ctx, run, found[run], removed))
	}
	return errors.Join(append(failed, p.unnamed())...)
}

// PruneRun takes one run apart, once it is dead, and tells how much there was.
func (p *Pruner) PruneRun(ctx context.Context, run string) (removed int, err error) {
	found, err := p.find(ctx)
	if err != nil {
		return 0, err
	}
	err = p.pruneRun(ctx, run, found[run], func(Leftover) { removed++ })
	// It may have died before its folder had its name.
	return removed, errors.Join(err, p.unnamed())
}

func (p *Pruner) pruneRun(ctx context.Context, run string, things []Leftover, removed func(Leftover)) error {
	if len(things) == 0 {
		return nil
	}
	// What was listed may be a run that has since started: the lock is asked last,
	// and held while the run is taken apart.
	lease, err := take(p.Home, run)
	if err != nil || lease == nil {
		return err
	}
	if lease.lock != nil {
		defer lease.lock.Close()
	}
	if hasFolder(things) && !exists(lease.Dir) {
		return nil // it has ended by itself since it was listed
	}
	sort.SliceStable(things, func(i, j int) bool { return kindOrder[things[i].Kind] < kindOrder[things[j].Kind] })
	var failed []error
	for _, thing := range things {
		if thing.Kind == KindFolder && len(failed) > 0 {
			break // it is what the next prune finds the run by
		}
		if err := p.remove(ctx, thing); err != nil {
			failed = append(failed, &notPruned{thing, err})
			continue
		}
		removed(thing)
	}
	return errors.Join(failed...)
}

// notPruned is a thing that could not be removed.
type notPruned struct {
	thing Leftover
	err   error
}

func (n *notPruned) Error() string {
	return fmt.Sprintf("cannot remove the %s %s of run %s: %v", n.thing.Kind, n.thing.Name, n.thing.Run, n.err)
}
func (n *notPruned) Unwrap() error { return n.err }
func (n *notPruned) Hint() string {
	return "take off what somebody else has attached to it, then run `av prune` again"
}

func (p *Pruner) remove(ctx context.Context, l Leftover) error {
	switch l.Kind {
	case KindContainer:
		return p.Engine.RemoveContainer(ctx, l.id)
	case KindNetwork:
		return p.Engine.RemoveNetwork(ctx, l.id)
	case KindHostWalls:
		return p.Walls.Remove(l.plan)
	case KindFolder:
		return os.RemoveAll(filepath.Join(runsDir(p.Home), l.Run))
	}
	return fmt.Errorf("refusing to remove a %q", l.Kind)
}

// find lists everything of this home by run, dead or alive.
func (p *Pruner) find(ctx context.Context) (map[string][]Leftover, error) {
	found := map[string][]Leftover{}
	put := func(l Leftover) { found[l.Run] = append(found[l.Run], l) }
	if err := p.findOnEngine(ctx, put); err != nil {
		return nil, err
	}
	if p.Walls != nil {
		plans, err := p.Walls.Standing(p.Owner)
		if err != nil {
			return nil, err
		}
		for _, plan := range plans {
			put(Leftover{Run: plan.Run, Kind: KindHostWalls, Name: plan.Chain(), plan: plan})
		}
	}
	runs, _, err := folders(p.Home)
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		put(Leftover{Run: run, Kind: KindFolder, Name: filepath.Join(runsDir(p.Home), run)})
	}
	return found, nil
}

func (p *Pruner) findOnEngine(ctx context.Context, put func(Leftover)) error {
	if p.Engine == nil {
		return nil
	}
	containers, err := p.Engine.Containers(ctx, ownerFilter(p.Owner))
	if err != nil {
		return err
	}
	// Labels and name, not labels alone: `docker commit` hands a container's labels on
	// to an image, and so to whatever its owner makes of it.
	for _, c := range containers {
		run := Run{ID: c.Labels[LabelRun], Owner: p.Owner}
		if run.owns(c.Labels) && (c.Name == run.Gate() || c.Name == run.Agent()) {
			put(Leftover{Run: c.Labels[LabelRun], Kind: KindContainer, Name: c.Name, id: c.ID})
		}
	}
	networks, err := p.Engine.Networks(ctx, ownerFilter(p.Owner))
	if err != nil {
		return err
	}
	for _, n := range networks {
		run := Run{ID: n.Labels[LabelRun], Owner: p.Owner}
		if run.owns(n.Labels) && n.Name == run.Network() {
			put(Leftover{Run: n.Labels[LabelRun], Kind: KindNetwork, Name: n.Name, id: n.ID})
		}
	}
	return nil
}

// unnamed removes the folders of starts and ends that were cut short.
func (p *Pruner) unnamed() error {
	_, unnamed, err := folders(p.Home)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range unnamed {
		failed = append(failed, removeUnnamed(filepath.Join(runsDir(p.Home), name)))
	}
	return errors.Join(failed...)
}

func removeUnnamed(dir string) error {
	lock, err := lockFile(filepath.Join(dir, "lock"), 0)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil // starting or ending at this moment
	case err == nil:
		return errors.Join(os.RemoveAll(dir), lock.Close())
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if strings.HasPrefix(filepath.Base(dir), endedPrefix) {
		return os.RemoveAll(dir)
	}
	// A start that has no lock yet has an empty folder. One that is alive makes
	// itself another; one that has got its lock by now is not empty any more.
	err = os.Remove(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}

func hasFolder(things []Leftover) bool {
	return slices.ContainsFunc(things, func(l Leftover) bool { return l.Kind == KindFolder })
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func runsOf(found map[string][]Leftover) []string {
	var runs []string
	for run := range found {
		runs = append(runs, run)
	}
	sort.Strings(runs)
	return runs
}
