package netiso

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/scripts/require"
)

// fakeSessions are sessions in memory.
type fakeSessions struct {
	mu   sync.Mutex
	list []OpenSession
	fail error
}

func (f *fakeSessions) Open(context.Context) ([]OpenSession, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list), nil
}

func (f *fakeSessions) End(_ context.Context, run string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.DeleteFunc(f.list, func(s OpenSession) bool { return f.fail == nil && s.Run == run })
	return f.fail
}

func (f *fakeSessions) left() string {
	var names []string
	for _, s := range f.list {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

func TestSessionsOfDeadRunsEndAndOthersStay(t *testing.T) {
	home := t.TempDir()
	live, err := Hold(home, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	deadFolder(t, home, "0000000b")
	sessions := &fakeSessions{list: []OpenSession{
		{Run: "0000000a", Name: "live"}, {Run: "0000000b", Name: "dead"}, {Run: "0000000c", Name: "long-dead"},
		{Run: "", Name: "made-by-hand"}, {Run: "nightly", Name: "of-something-else"},
	}}
	p := &Pruner{Home: home, Owner: "0123456789abcdef", Sessions: sessions, DryRun: true}
	var told []string
	tell := func(l Leftover) { told = append(told, l.Kind+" "+filepath.Base(l.Name)) }
	if err := p.Prune(t.Context(), tell); err != nil {
		t.Fatal(err)
	}
	slices.Sort(told)
	want := "run folder 0000000b, session dead, session long-dead"
	if got := strings.Join(told, ", "); got != want || len(sessions.list) != 5 || !exists(filepath.Join(runsDir(home), "0000000b")) {
		t.Errorf("a dry run told %q and left %q", got, sessions.left())
	}
	told, p.DryRun = nil, false
	if err := p.Prune(t.Context(), tell); err != nil {
		t.Fatal(err)
	}
	slices.Sort(told)
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("prune told %q, the dry run %q", got, want)
	}
	if got := sessions.left(); got != "live made-by-hand of-something-else" {
		t.Errorf("left: %q", got)
	}
}

// A run is found again by its folder as long as something of it is there.
func TestFolderStaysUntilAllElseIsGone(t *testing.T) {
	home := t.TempDir()
	dir := deadFolder(t, home, "0000000b")
	sessions := &fakeSessions{list: []OpenSession{{Run: "0000000b", Name: "dead"}}, fail: errors.New("no room on the disk")}
	p := &Pruner{Home: home, Owner: "0123456789abcdef", Sessions: sessions}
	if err := p.Prune(t.Context(), func(l Leftover) { t.Errorf("told %v", l) }); !errors.Is(err, sessions.fail) {
		t.Errorf("got %v", err)
	}
	if !exists(dir) {
		t.Fatal("the folder went first")
	}
	sessions.fail = nil
	removed := 0
	if err := p.Prune(t.Context(), func(Leftover) { removed++ }); err != nil || removed != 2 || exists(dir) {
		t.Errorf("removed %d, %v", removed, err)
	}
}

// What is to be done in the folder is done when all else is gone, and the folder waits for it.
func TestFolderStaysUntilWhatIsInItWasSeenTo(t *testing.T) {
	home := t.TempDir()
	dir := deadFolder(t, home, "0000000b")
	sessions := &fakeSessions{list: []OpenSession{{Run: "0000000b", Name: "dead"}}, fail: errors.New("no room on the disk")}
	seen, unwell := 0, errors.New("it cannot be kept")
	p := &Pruner{Home: home, Owner: "0123456789abcdef", Sessions: sessions, Last: func(run, at string) error {
		if seen++; run != "0000000b" || at != dir || !exists(at) {
			t.Errorf("called for %s at %s", run, at)
		}
		return unwell
	}}
	prune := func() error { return p.Prune(t.Context(), func(Leftover) {}) }
	if err := prune(); err == nil || seen != 0 {
		t.Errorf("while a session is there: called %d times, %v", seen, err)
	}
	sessions.fail = nil
	p.DryRun = true
	if err := prune(); err != nil || seen != 0 {
		t.Errorf("in a dry run: called %d times, %v", seen, err)
	}
	p.DryRun, p.KeepFolder = false, true
	if err := prune(); err != nil || seen != 0 {
		t.Errorf("where the folder stays: called %d times, %v", seen, err)
	}
	p.KeepFolder = false
	if err := prune(); !errors.Is(err, unwell) || seen != 1 || !exists(dir) {
		t.Errorf("where it fails: called %d times, %v", seen, err)
	}
	unwell = nil
	if err := prune(); err != nil || seen != 2 || exists(dir) {
		t.Errorf("in the end: called %d times, %v", seen, err)
	}
}

func TestWallsStandWhileTheBoxDoes(t *testing.T) {
	for _, c := range []struct {
		left, kind string
		stays      bool
	}{
		{KindContainer, KindHostWalls, true}, {KindContainer, KindKeeper, true}, {KindNetwork, KindHostWalls, true},
		{KindNetwork, KindKeeper, true}, {KindSession, KindHostWalls, false}, {KindVolume, KindHostWalls, false},
		{KindContainer, KindNetwork, false}, {KindSession, KindFolder, true}, {KindHostWalls, KindFolder, true},
	} {
		if got := stays(c.kind, map[string]bool{c.left: true}); got != c.stays {
			t.Errorf("with a %s left, the %s stays: %v", c.left, c.kind, got)
		}
		if stays(c.kind, nil) {
			t.Errorf("with nothing left, the %s stays", c.kind)
		}
	}
}

func TestFolderThatNoRunMadeIsSpared(t *testing.T) {
	home := t.TempDir()
	mine := filepath.Join(runsDir(home), "my-notes")
	hidden := filepath.Join(runsDir(home), ".git")
	dead := deadFolder(t, home, "0000000b")
	for _, dir := range []string{mine, hidden} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := &Pruner{Home: home, Owner: "0123456789abcdef"}
	if err := p.Prune(t.Context(), func(Leftover) {}); err != nil {
		t.Fatal(err)
	}
	if !exists(mine) || !exists(hidden) {
		t.Error("a folder went that av has not made")
	}
	if exists(dead) {
		t.Error("control: the dead run's folder is still there")
	}
}

func TestAgeSparesWhatIsYoung(t *testing.T) {
	home := t.TempDir()
	young, old := deadFolder(t, home, "0000000a"), deadFolder(t, home, "0000000b")
	past := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(filepath.Join(old, "lock"), past, past); err != nil {
		t.Fatal(err)
	}
	p := &Pruner{Home: home, Owner: "0123456789abcdef", OlderThan: 24 * time.Hour}
	if err := p.Prune(t.Context(), func(Leftover) {}); err != nil {
		t.Fatal(err)
	}
	if !exists(young) || exists(old) {
		t.Errorf("the young one is there: %v, the old one: %v", exists(young), exists(old))
	}
}

// On an engine that others use too: they are looked at, and only the test's own removed.
func TestAnotherHomesRemainsGoOnlyWhenAskedForAndStill(t *testing.T) {
	require.Root(t)
	require.Docker(t)
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	home := t.TempDir()
	owner, err := Owner(home)
	if err != nil {
		t.Fatal(err)
	}
	still, runs, unlabelled := NewRun("fedcba9876543210"), NewRun("fedcba9876543210"), NewRun("fedcba9876543210")
	networks := map[Run]*Network{
		still: orphan(t, e, still, still.Labels()), runs: orphan(t, e, runs, runs.Labels()), unlabelled: orphan(t, e, unlabelled, nil),
	}
	id, err := e.CreateContainer(t.Context(), engine.Container{
		Name: runs.Gate(), Image: require.Image, Command: []string{"sleep", "1000"}, Network: "none", Labels: runs.Labels(), Limits: engine.Limits{PidsLimit: 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.RemoveContainer(context.Background(), id) })
	if err := e.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p := &Pruner{Home: home, Owner: owner, Engine: e}
	f, err := p.find(t.Context())
	if err != nil || len(f) != 0 {
		t.Errorf("without being asked to, it found %d runs, %v", len(f), err)
	}
	prune := func() {
		t.Helper()
		f, err := p.find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for run := range networks {
			if f[run] == nil {
				continue
			}
			if err := p.pruneRun(t.Context(), f[run], func(Leftover) {}); err != nil {
				t.Error(err)
			}
		}
	}
	there := func(run Run) bool {
		t.Helper()
		list, err := e.Networks(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(list, func(n engine.NetworkInfo) bool { return n.ID == networks[run].id })
	}
	p.OlderThan = time.Hour
	if prune(); !there(still) || !there(runs) {
		t.Error("what is young was removed")
	}
	p.OlderThan = time.Nanosecond
	if prune(); there(still) || !there(runs) || !there(unlabelled) {
		t.Errorf("the still one is there: %v, the running one: %v, the one without labels: %v", there(still), there(runs), there(unlabelled))
	}
	// Control: once its gate has ended, as it does with its av, that run is still, too.
	if err := e.KillContainer(t.Context(), id, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	for f[runs] == nil || f[runs].runs {
		if f, err = p.find(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if prune(); there(runs) {
		t.Error("control: the run whose gate has ended is still there")
	}
}

// Found with prunes side by side: one wrote its mark into the folder that another was
// just emptying.
func TestPrunesOfTheSameDeadRunDoNotGetInEachOthersWay(t *testing.T) {
	home := t.TempDir()
	var prunes sync.WaitGroup
	for round := range 300 {
		run := NewRun("0123456789abcdef")
		if round%2 == 0 {
			deadFolder(t, home, run.ID)
		} else if err := os.MkdirAll(filepath.Join(runsDir(home), run.ID), 0o700); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			prunes.Go(func() {
				p := &Pruner{Home: home, Owner: run.Owner}
				if err := p.Prune(t.Context(), func(Leftover) {}); err != nil {
					t.Error(err)
				}
			})
		}
		prunes.Wait()
		if left, err := os.ReadDir(runsDir(home)); err != nil || len(left) != 0 {
			t.Fatalf("left: %v, %v", left, err)
		}
	}
}
