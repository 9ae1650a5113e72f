package netiso

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// deadFolder makes the folder of a run that nobody holds.
func deadFolder(t *testing.T, home, run string) string {
	t.Helper()
	lease, err := Hold(home, run)
	if err != nil {
		t.Fatal(err)
	}
	lease.Tell(func(n *Note) { n.Command = "sh" })
	lease.lock.Close()
	return lease.Dir
}

func names(live []Note) string {
	var out []string
	for _, n := range live {
		out = append(out, n.Run+" "+n.State)
	}
	return strings.Join(out, ", ")
}

func TestLiveRunsAreThoseWhoseLockIsHeld(t *testing.T) {
	home := t.TempDir()
	if live, err := Live(home); len(live) != 0 || err != nil {
		t.Errorf("a home without runs: %v, %v", live, err)
	}
	a, err := Hold(home, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Hold(home, "0000000b")
	if err != nil {
		t.Fatal(err)
	}
	deadFolder(t, home, "0000000c")
	a.Tell(func(n *Note) { n.Command, n.State = "claude", Running })
	live, err := Live(home)
	if err != nil || !strings.Contains(names(live), "0000000a running") || !strings.Contains(names(live), "0000000b starting") || len(live) != 2 {
		t.Errorf("got %q, %v", names(live), err)
	}
	// A note that nobody can read hides no live run.
	if err := os.WriteFile(filepath.Join(a.Dir, noteFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if live, err = Live(home); len(live) != 2 || err != nil {
		t.Errorf("with a spoilt note: %q, %v", names(live), err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	b.lock.Close() // as the kernel does for one that is killed
	if live, err := Live(home); len(live) != 0 || err != nil {
		t.Errorf("after both: %q, %v", names(live), err)
	}
}

func TestRunThatIsTakenApartIsNotShownAsAlive(t *testing.T) {
	home := t.TempDir()
	deadFolder(t, home, "0000000c")
	taken, err := take(home, "0000000c")
	if err != nil || taken == nil {
		t.Fatal(taken, err)
	}
	defer taken.drop()
	if err := taken.condemn(); err != nil {
		t.Fatal(err)
	}
	if live, err := Live(home); len(live) != 0 || err != nil {
		t.Errorf("got %q, %v", names(live), err)
	}
}

// A look at a lock shares it for a moment: a prune at that moment must not take the dead
// run for a live one.
func TestLookingAtADeadRunKeepsNobodyFromTakingItApart(t *testing.T) {
	home := t.TempDir()
	deadFolder(t, home, "0000000c")
	stop := make(chan struct{})
	var lookers sync.WaitGroup
	for range 2 {
		lookers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := isHeld(filepath.Join(runsDir(home), "0000000c", "lock")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		lease, err := take(home, "0000000c")
		if err != nil || lease == nil {
			t.Errorf("got %v, %v", lease, err)
			break
		}
		lease.drop()
	}
	close(stop)
	lookers.Wait()
}
