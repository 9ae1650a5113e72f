package netiso

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/netiso/firewall"
)

// Kinds of things that a dead run can leave, in the order in which they are removed: what
// it may use ends first, a network cannot go before what is attached to it, and the
// folder goes last, so that an interrupted prune finds the run again.
const (
	KindSession   = "session"
	KindContainer = "container"
	KindNetwork   = "network"
	KindKeeper    = "keeper of the host rules"
	KindVolume    = "volume"
	KindHostWalls = "host rules"
	KindFolder    = "run folder"
)

var kindOrder = map[string]int{KindSession: 0, KindContainer: 1, KindNetwork: 2, KindKeeper: 3, KindVolume: 4, KindHostWalls: 5, KindFolder: 6}

// pruneWidth is how many runs are taken apart side by side. More keep an engine no
// busier.
const pruneWidth = 8

// Leftover is one thing that a dead run left.
type Leftover struct {
	Run    string    `json:"run"`
	Owner  string    `json:"owner"`
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`
	Made   time.Time `json:"made,omitzero"` // zero where nothing tells
	Reason string    `json:"reason"`        // why its run counts as dead
	id     string
	runs   bool
	plan   firewall.Plan
}

// Sessions are what runs have open on the side that holds secrets.
type Sessions interface {
	// Open lists those that have not ended.
	Open(ctx context.Context) ([]OpenSession, error)
	// End ends all those of a run; that there is none is a success.
	End(ctx context.Context, run string) error
}

// OpenSession is a session that has not ended.
type OpenSession struct {
	Run, Name string
	Made      time.Time
}

// Pruner finds and removes what dead runs of one av home left.
type Pruner struct {
	Home  string
	Owner string
	// Engine is nil where no engine answers; only the host is looked at then.
	Engine *engine.Engine
	// Walls is nil where av may not read the host's rules.
	Walls *firewall.Host
	// Sessions is nil where nobody can be asked for them.
	Sessions Sessions
	// OlderThan spares what is younger. With it, what other av homes left on the engine
	// is looked at too: whether they run can only be seen by what they have there.
	OlderThan time.Duration
	// Last is called with the folder of a dead run, when all else of the run is gone and
	// before the folder is, which stays if it fails; nil: nothing is to be done there.
	Last func(run, dir string) error
	// KeepFolder leaves the run's folder, for there is more to do before it may go.
	KeepFolder bool
	// DryRun: everything is found and judged as ever, and stays.
	DryRun bool
}

// Prune removes what dead runs left, and tells each thing as it goes. What belongs
// to a live run is not touched: its lock is held. A failure with one thing does not
// stop the rest.
func (p *Pruner) Prune(ctx context.Context, removed func(Leftover)) error {
	f, err := p.find(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	tell := func(l Leftover) {
		mu.Lock()
		defer mu.Unlock()
		removed(l)
	}
	list := f.sorted()
	failed := make([]error, len(list))
	places := make(chan struct{}, pruneWidth)
	var group sync.WaitGroup
	for i, one := range list {
		places <- struct{}{}
		group.Go(func() {
			failed[i] = p.pruneRun(ctx, one, tell)
			<-places
		})
	}
	group.Wait()
	return errors.Join(append(failed, p.unnamed())...)
}

// PruneRun takes one run of this home apart, once it is dead, and tells how much there
// was.
func (p *Pruner) PruneRun(ctx context.Context, id string) (removed int, err error) {
	run := Run{id, p.Owner}
	f, err := p.findRun(ctx, run)
	if err != nil {
		return 0, err
	}
	err = p.pruneRun(ctx, f.of(run), func(Leftover) { removed++ })
	// It may have died before its folder had its name.
	return removed, errors.Join(err, p.unnamed())
}

func (p *Pruner) pruneRun(ctx context.Context, f *found, removed func(Leftover)) error {
	if len(f.things) == 0 {
		return nil
	}
	var lease *Lease
	s := sighting{ours: f.run.Owner == p.Owner, runs: f.runs, newest: f.newest()}
	if s.ours {
		// What was listed may be a run that has since started: the lock is asked last,
		// and held while the run is taken apart.
		var err error
		if lease, err = take(p.Home, f.run.ID); err != nil {
			return err
		}
		if lease == nil {
			s.held = true
		} else {
			defer lease.drop()
			s.ended = f.hasFolder() && !exists(lease.Dir)
		}
	}
	reason, ok := dead(s, p.OlderThan, time.Now())
	if !ok {
		return nil
	}
	if lease != nil && !p.DryRun {
		if err := lease.condemn(); err != nil {
			return err
		}
	}
	sort.SliceStable(f.things, func(i, j int) bool { return kindOrder[f.things[i].Kind] < kindOrder[f.things[j].Kind] })
	var failed []error
	left := map[string]bool{} // kinds of which something could not be removed
	for _, thing := range f.things {
		if stays(thing.Kind, left) || thing.Kind == KindFolder && p.KeepFolder {
			continue
		}
		if err := p.remove(ctx, thing); err != nil {
			left[thing.Kind] = true
			failed = append(failed, &notPruned{thing, err})
			continue
		}
		thing.Reason = reason
		removed(thing)
	}
	return errors.Join(failed...)
}

// stays tells what must not go while something of the kinds in left is still there: a box
// that could not be removed is walled in, and the folder is what the next prune finds the
// run by.
func stays(kind string, left map[string]bool) bool {
	switch kind {
	case KindKeeper, KindHostWalls:
		return left[KindContainer] || left[KindNetwork]
	case KindFolder:
		return len(left) > 0
	}
	return false
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

// remove removes one thing. One that is gone already is a success.
func (p *Pruner) remove(ctx context.Context, l Leftover) error {
	if p.DryRun {
		return nil
	}
	switch l.Kind {
	case KindSession:
		return p.Sessions.End(ctx, l.Run)
	case KindContainer:
		return p.Engine.RemoveContainer(ctx, l.id)
	case KindKeeper:
		if l.runs {
			p.awaitKeeper(ctx, l.id)
		}
		return p.Engine.RemoveContainer(ctx, l.id)
	case KindNetwork:
		return p.Engine.RemoveNetwork(ctx, l.id)
	case KindVolume:
		return p.Engine.RemoveVolume(ctx, l.Name)
	case KindHostWalls:
		return p.Walls.Remove(l.plan)
	case KindFolder:
		if p.Last != nil {
			if err := p.Last(l.Run, filepath.Join(runsDir(p.Home), l.Run)); err != nil {
				return err
			}
		}
		return removeFolder(p.Home, l.Run)
	}
	return fmt.Errorf("refusing to remove a %q", l.Kind)
}

// keeperPatience is how long a keeper may take to see that its run's bridge is gone, and to
// take the walls down that only it may touch.
const keeperPatience = 10 * time.Second

func (p *Pruner) awaitKeeper(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, keeperPatience)
	defer cancel()
	<-p.Engine.Wait(ctx, id)
}

// removeFolder removes a dead run's folder, which loses its name first, in one step:
// another prune may be about to mark it.
func removeFolder(home, run string) error {
	dir := filepath.Join(runsDir(home), run)
	ended := filepath.Join(runsDir(home), endedPrefix+run)
	err := os.Rename(dir, ended)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return os.RemoveAll(dir)
	}
	return os.RemoveAll(ended)
}

// unnamed removes the folders of starts and ends that were cut short.
func (p *Pruner) unnamed() error {
	if p.DryRun {
		return nil
	}
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

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
