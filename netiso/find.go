package netiso

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/av-project/av/netiso/firewall"
)

// found is everything that was seen of one run, dead or alive.
type found struct {
	run    Run
	things []Leftover
	runs   bool
}

func (f *found) newest() (newest time.Time) {
	for _, t := range f.things {
		if t.Made.After(newest) {
			newest = t.Made
		}
	}
	return newest
}

// hasFolder tells whether the run's folder was among what was seen.
func (f *found) hasFolder() bool {
	return slices.ContainsFunc(f.things, func(l Leftover) bool { return l.Kind == KindFolder })
}

// finds gathers what was seen, by run.
type finds map[Run]*found

func (f finds) of(run Run) *found {
	if f[run] == nil {
		f[run] = &found{run: run}
	}
	return f[run]
}

func (f finds) put(run Run, kind, name string, l Leftover) {
	l.Run, l.Owner, l.Kind, l.Name = run.ID, run.Owner, kind, name
	f.of(run).things = append(f.of(run).things, l)
}

// sorted gives the runs in an order that is always the same.
func (f finds) sorted() []*found {
	var list []*found
	for _, one := range f {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *found) int {
		return cmp.Or(strings.Compare(a.run.Owner, b.run.Owner), strings.Compare(a.run.ID, b.run.ID))
	})
	return list
}

// find lists what there is of this home's runs, and with OlderThan of other homes' too.
func (p *Pruner) find(ctx context.Context) (finds, error) {
	f := finds{}
	labels := ownerFilter(p.Owner)
	if p.OlderThan > 0 {
		delete(labels, LabelOwner)
	}
	// Sessions first: of one that is seen here, the run has its lock already, or had it.
	if err := p.findSessions(ctx, f); err != nil {
		return nil, err
	}
	if err := p.findOnEngine(ctx, labels, f); err != nil {
		return nil, err
	}
	if err := p.findWalls(f); err != nil {
		return nil, err
	}
	runs, _, err := folders(p.Home)
	for _, run := range runs {
		p.findFolder(run, f)
	}
	return f, err
}

// findRun lists what there is of one run of this home, with fewer questions: the
// watchdogs of many runs ask them at the same time.
func (p *Pruner) findRun(ctx context.Context, run Run) (finds, error) {
	f := finds{}
	if err := p.findOnEngine(ctx, run.Labels(), f); err != nil {
		return nil, err
	}
	if p.Walls != nil {
		plan := firewall.Plan{Run: run.ID, Owner: run.Owner, Bridge: run.Bridge()}
		there, err := stands(*p.Walls, plan)
		if err != nil {
			return nil, err
		}
		if there {
			f.put(run, KindHostWalls, plan.Chain(), Leftover{plan: plan})
		}
	}
	p.findFolder(run.ID, f)
	return f, nil
}

// stands tells whether anything of a run's walls is there. They go up and come down in one
// step for each family, hooks and all.
func stands(host firewall.Host, plan firewall.Plan) (bool, error) {
	standing, err := host.Standing(plan.Owner)
	return slices.ContainsFunc(standing, func(s firewall.Plan) bool { return s.Run == plan.Run }), err
}

func (p *Pruner) findFolder(run string, f finds) {
	dir := filepath.Join(runsDir(p.Home), run)
	// The lock is as old as the run. A folder without one has none to tell.
	info, err := os.Lstat(filepath.Join(dir, "lock"))
	if err == nil {
		f.put(Run{run, p.Owner}, KindFolder, dir, Leftover{Made: info.ModTime()})
	} else if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		f.put(Run{run, p.Owner}, KindFolder, dir, Leftover{})
	}
}

func (p *Pruner) findSessions(ctx context.Context, f finds) error {
	if p.Sessions == nil {
		return nil
	}
	list, err := p.Sessions.Open(ctx)
	for _, s := range list {
		// Sessions of what av did not start belong to no run, or to one by another name.
		if runID.MatchString(s.Run) {
			f.put(Run{s.Run, p.Owner}, KindSession, s.Name, Leftover{Made: s.Made})
		}
	}
	return err
}

func (p *Pruner) findWalls(f finds) error {
	if p.Walls == nil {
		return nil
	}
	// The walls of another home's run have no age and no sign of life. They go with what
	// has: the labelled things of that run.
	owners := map[string]bool{p.Owner: true}
	for run := range f {
		owners[run.Owner] = true
	}
	for owner := range owners {
		plans, err := p.Walls.Standing(owner)
		if err != nil {
			return err
		}
		for _, plan := range plans {
			run := Run{plan.Run, owner}
			if owner == p.Owner || f[run] != nil {
				f.put(run, KindHostWalls, plan.Chain(), Leftover{plan: plan})
			}
		}
	}
	return nil
}

func (p *Pruner) findOnEngine(ctx context.Context, labels map[string]string, f finds) error {
	if p.Engine == nil {
		return nil
	}
	containers, err := p.Engine.Containers(ctx, labels)
	if err != nil {
		return err
	}
	for _, c := range containers {
		for _, kind := range []string{KindContainer, KindKeeper} {
			if run, ours := claim(kind, c.Name, c.Labels); ours {
				f.put(run, kind, c.Name, Leftover{id: c.ID, Made: c.Made, runs: c.Runs})
			}
		}
		// Whatever it is called now: somebody may have renamed it.
		if named, ok := labelled(c.Labels); ok && c.Runs && c.Name != named.Keeper() {
			f.of(named).runs = true
		}
	}
	networks, err := p.Engine.Networks(ctx, labels)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if run, ours := claim(KindNetwork, n.Name, n.Labels); ours {
			f.put(run, KindNetwork, n.Name, Leftover{id: n.ID, Made: n.Made})
		}
	}
	volumes, err := p.Engine.Volumes(ctx, labels)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if run, ours := claim(KindVolume, v.Name, v.Labels); ours {
			f.put(run, KindVolume, v.Name, Leftover{Made: v.Made})
		}
	}
	return nil
}
