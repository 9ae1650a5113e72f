package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
)

// stress is how many of something a test has: fewer in an everyday test, and the full
// number, or that of AV_STRESS where it is less, if that is set.
func stress(t *testing.T, everyday, full int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("AV_STRESS"))
	if err != nil || n <= 0 {
		return everyday
	}
	return min(full, max(n, everyday))
}

// avOutput runs av to its end.
func avOutput(t *testing.T, av string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(av, args...)
	cmd.Env = env
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("av %s: %v: %s", strings.Join(args, " "), err, &complaints)
	}
	return string(out)
}

// alive lists the live runs of a home.
func alive(t *testing.T, av string, env []string) []netiso.Note {
	t.Helper()
	var live []netiso.Note
	if out := avOutput(t, av, env, "ps", "--json"); json.Unmarshal([]byte(out), &live) != nil {
		t.Fatalf("av ps says %q", out)
	}
	return live
}

// deadOf lists what a home's runs have left that are not alive. What is there is asked
// for first: a run that is seen with something and lives is among the living afterwards.
func deadOf(t *testing.T, dir, av string, env []string) string {
	t.Helper()
	owner, err := netiso.KnownOwner(dir)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	see := func(name string, args ...string) {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if name == "docker" || strings.Contains(line, owner) {
				seen = append(seen, strings.TrimSpace(line))
			}
		}
	}
	see("docker", "ps", "-a", "--filter", "label=av.owner="+owner, "--format", "container {{.Names}}")
	see("docker", "network", "ls", "--filter", "label=av.owner="+owner, "--format", "network {{.Name}}")
	see("docker", "volume", "ls", "--filter", "label=av.owner="+owner, "--format", "volume {{.Name}}")
	see("iptables-save")
	see("ip6tables-save")
	folders, err := filepath.Glob(filepath.Join(dir, "runs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	seen = append(seen, folders...)
	for _, n := range alive(t, av, env) {
		seen = slices.DeleteFunc(seen, func(s string) bool { return strings.Contains(s, n.Run) })
	}
	return strings.Join(seen, "\n")
}

// one is a run of many.
type one struct {
	cmd       *exec.Cmd
	stdin     io.WriteCloser
	out, errs bytes.Buffer
	victim    bool
}

func startOne(t *testing.T, av string, env []string, script string) *one {
	t.Helper()
	o := &one{cmd: exec.Command(av, "run", "--isolation=container", "--quiet", "--", "sh", "-c", script)}
	o.cmd.Env, o.cmd.Dir = env, t.TempDir()
	o.cmd.Stdout, o.cmd.Stderr = &o.out, &o.errs
	var err error
	if o.stdin, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.cmd.Process.Kill() })
	return o
}

// end waits for a run that has to print this and nothing else.
func (o *one) end(t *testing.T, want string) {
	t.Helper()
	if err := o.cmd.Wait(); err != nil || o.out.String() != want {
		t.Errorf("got %q, want %q, %v: %s", &o.out, want, err, &o.errs)
	}
}

// warm builds the images, so that what comes after does not wait for them.
func warm(t *testing.T, av string, env []string) {
	t.Helper()
	startOne(t, av, env, "echo warm").end(t, "warm\n")
}

func TestManyRunsAtOnceAllFinish(t *testing.T) {
	dir, env, av := home(t)
	warm(t, av, env)
	n := stress(t, 20, 100)
	began := time.Now()
	all := make([]*one, n)
	for i := range all {
		all[i] = startOne(t, av, env, fmt.Sprintf("echo out-%d", i))
	}
	for i, o := range all {
		o.end(t, fmt.Sprintf("out-%d\n", i))
	}
	t.Logf("%d runs at once took %v", n, time.Since(began).Round(time.Millisecond))
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// killEach starts n runs at once and kills six of ten of them, each at a moment of its
// own; the others go on. It returns when the last was killed.
func killEach(t *testing.T, av string, env []string, n int, kill func(*one)) (survivors []*one, last time.Time) {
	t.Helper()
	var all []*one
	var kills sync.WaitGroup
	// From the first step of the first to some time after the last runs.
	span := time.Duration(n) * time.Second
	for i := range n {
		o := startOne(t, av, env, "read line; echo $line")
		if o.victim = i%5 < 3; o.victim {
			after := time.Duration(rand.Int64N(int64(span)))
			kills.Go(func() {
				<-time.After(after)
				kill(o)
				_ = o.cmd.Wait()
			})
		}
		all = append(all, o)
	}
	kills.Wait()
	return slices.DeleteFunc(all, func(o *one) bool { return o.victim }), time.Now()
}

// survive has those who were not killed prove that they live.
func survive(t *testing.T, survivors []*one) {
	t.Helper()
	for i, o := range survivors {
		if _, err := fmt.Fprintf(o.stdin, "survived-%d\n", i); err != nil {
			t.Error(err)
		}
	}
	for i, o := range survivors {
		o.end(t, fmt.Sprintf("survived-%d\n", i))
	}
}

// cleared is how soon nothing of killed runs may be left.
const cleared = 10 * time.Second

func TestRunsKilledAtAnyMomentLeaveNothing(t *testing.T) {
	dir, env, av := home(t)
	warm(t, av, env)
	n := stress(t, 10, 100)
	survivors, last := killEach(t, av, env, n, func(o *one) { _ = o.cmd.Process.Kill() })
	var late string
	until(t, "what the killed runs had to be gone", 2*time.Minute, func() bool {
		left := deadOf(t, dir, av, env)
		if took := time.Since(last); took > cleared && left != "" && late == "" {
			late = left
			t.Errorf("%v after the last kill there was still\n%s", took, left)
		}
		return left == ""
	})
	t.Logf("of %d runs, %d were killed; nothing of them was left %v after the last", n, n-len(survivors), time.Since(last).Round(time.Millisecond))
	survive(t, survivors)
	until(t, "nothing to be left", time.Minute, func() bool { return leftOf(dir) == "" })
}

// killWithWatchdog ends a run and all its children, its watchdog among them, as the death
// of a whole session does. It is stopped first, so that it starts no other meanwhile.
func killWithWatchdog(t *testing.T, o *one) {
	pid := o.cmd.Process.Pid
	if syscall.Kill(pid, syscall.SIGSTOP) != nil {
		return
	}
	until(t, "the process to stop", time.Minute, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		return err != nil || strings.HasPrefix(state, "T") || strings.HasPrefix(state, "Z")
	})
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range threads {
		children, _ := os.ReadFile(path)
		for _, child := range strings.Fields(string(children)) {
			if number, err := strconv.Atoi(child); err == nil {
				_ = syscall.Kill(number, syscall.SIGKILL)
			}
		}
	}
	_ = o.cmd.Process.Kill()
}

func TestOnePruneClearsWhatUnwatchedRunsLeft(t *testing.T) {
	dir, env, av := home(t)
	warm(t, av, env)
	n := stress(t, 10, 100)
	survivors, _ := killEach(t, av, env, n, func(o *one) { killWithWatchdog(t, o) })
	// What they had asked of the engine, it still does: prune can remove only what is there.
	var before string
	var since time.Time
	until(t, "the engine to have done what it was asked", 2*time.Minute, func() bool {
		if now := deadOf(t, dir, av, env); now != before || since.IsZero() {
			before, since = now, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
	if before == "" {
		t.Fatal("control: nothing was left, and so nothing is tested")
	}
	shown := avOutput(t, av, env, "prune", "--dry-run")
	if now := deadOf(t, dir, av, env); now != before {
		t.Errorf("after a dry run there is\n%s\ninstead of\n%s", now, before)
	}
	began := time.Now()
	removed := avOutput(t, av, env, "prune")
	t.Logf("prune removed %d things in %v", strings.Count(removed, "\n"), time.Since(began).Round(time.Millisecond))
	lines := func(s string) string {
		l := strings.Split(strings.ReplaceAll(s, "would remove", "removed"), "\n")
		slices.Sort(l)
		return strings.Join(l, "\n")
	}
	if lines(shown) != lines(removed) {
		t.Errorf("the dry run said\n%s\nand prune\n%s", shown, removed)
	}
	if left := deadOf(t, dir, av, env); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	survive(t, survivors)
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind in the end:\n%s", left)
	}
}

func TestPrunesAndStartsSideBySideHarmNoRun(t *testing.T) {
	dir, env, av := home(t)
	warm(t, av, env)
	rounds, wide := 3, 6
	if os.Getenv("AV_STRESS") != "" {
		rounds, wide = stress(t, 3, 100), 20
	}
	for round := range rounds {
		// Something to remove in each round, so that the prunes are seen to do their work.
		dead := filepath.Join(dir, "runs", fmt.Sprintf("%08x", round))
		if err := os.MkdirAll(dead, 0o700); err != nil {
			t.Fatal(err)
		}
		var removed syncBuffer
		var prunes sync.WaitGroup
		var all []*one
		for i := range wide {
			all = append(all, startOne(t, av, env, fmt.Sprintf("echo out-%d", i)))
			prunes.Go(func() {
				prune := exec.Command(av, "prune")
				prune.Env = env
				prune.Stdout = &removed
				if out, err := prune.StderrPipe(); err != nil {
					t.Error(err)
				} else if err := prune.Start(); err != nil {
					t.Error(err)
				} else {
					complaints, _ := io.ReadAll(out)
					if err := prune.Wait(); err != nil {
						t.Errorf("prune: %v: %s", err, complaints)
					}
				}
			})
		}
		for i, o := range all {
			o.end(t, fmt.Sprintf("out-%d\n", i))
		}
		prunes.Wait()
		if got := removed.String(); !strings.Contains(got, dead) {
			t.Errorf("round %d: control: the dead run's folder was not removed: %q", round, got)
		}
		if t.Failed() {
			t.Fatalf("in round %d of %d", round+1, rounds)
		}
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}
