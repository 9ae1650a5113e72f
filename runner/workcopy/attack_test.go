package workcopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/av-project/av/runner/nofollow"
)

// deepen makes folders in each other, as deep as no path can name.
func deepen(t *testing.T, dir string, depth int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(at, "d", 0o755))
		next, err := unix.Openat(at, "d", unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Close(at))
		at = next
	}
	must(t, unix.Close(at))
}

// A file of terabytes without content is made in no time, and takes hours to read.
func TestHugeFileHoldsNobodyUp(t *testing.T) {
	b := newBench(t)
	huge := filepath.Join(b.copy.Tree(), "huge")
	must(t, os.WriteFile(huge, nil, 0o644))
	size := int64(8 << 40)
	for ; size > 1<<30; size /= 2 {
		if os.Truncate(huge, size) == nil {
			break
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	changes, err := b.copy.Changes(ctx)
	if err != nil || len(changes) != 1 {
		t.Fatalf("%v, %v", changes, err)
	}
	before := state(t, b.dir)
	p, err := b.copy.PlanApply(ctx, RefuseGuarded)
	must(t, err)
	if err := b.copy.Apply(ctx, p); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a file of %d bytes: %v", size, err)
	}
	if after := state(t, b.dir); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	// Where it is read, as of a workspace that an agent has left one in, that can be ended.
	from, err := nofollow.Open(b.copy.Tree())
	must(t, err)
	defer from.Close()
	short, end := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer end()
	if _, err := digest(short, from, "huge"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it is read on: %v", err)
	}
}

// Folders in folders without end: each has a longer path than the one that it is in.
func TestPathsWithoutEndAreNotFollowed(t *testing.T) {
	b := newBench(t)
	deepen(t, b.copy.Tree(), 10_000)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, err := b.copy.Changes(ctx); err == nil || !strings.Contains(err.Error(), "deep in each other") || len(err.Error()) > 1000 {
		t.Errorf("%.200v", err)
	}
	from, err := nofollow.Open(b.copy.Tree())
	must(t, err)
	defer from.Close()
	if _, _, err := Take(ctx, b.home, "0000000b", b.dir, "sh", from, os.Getuid(), os.Getgid()); err == nil || !strings.Contains(err.Error(), "deep in each other") {
		t.Errorf("%.200v", err)
	}
	if _, err := os.Lstat(filepath.Join(Dir(b.home), "0000000b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was copied is left: %v", err)
	}
	for i := range maxAtOnce + 1 {
		must(t, os.WriteFile(fmt.Sprint(b.copy.Tree(), "/d/", i), nil, 0o644))
	}
	var limit, few syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	few = limit
	few.Cur = 256
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few))
	err = b.copy.Remove()
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if _, gone := os.Lstat(b.copy.Dir); err != nil || !errors.Is(gone, fs.ErrNotExist) {
		t.Errorf("the copy is not removed: %.200v, %v", err, gone)
	}
}

func TestLinkThatLeadsOutByALinkIsGuarded(t *testing.T) {
	b := newBench(t)
	tree := b.copy.Tree()
	write(t, tree, map[string]string{"x/file": "x"})
	must(t, os.Symlink("..", filepath.Join(tree, "x/up")))
	must(t, os.Symlink("x/up/../outside/file", filepath.Join(tree, "evil")))
	must(t, os.Symlink("../x/file", filepath.Join(tree, "x/plain")))
	// The control: in the owner's folder it leads out.
	write(t, b.dir, map[string]string{"x/file": "x"})
	must(t, os.Symlink("..", filepath.Join(b.dir, "x/up")))
	must(t, os.Symlink("x/up/../outside/file", filepath.Join(b.dir, "control")))
	if content, err := os.ReadFile(b.dir + "/control"); err != nil || string(content) != "secret" {
		t.Fatalf("control: %q, %v", content, err)
	}
	changes, err := b.copy.Changes(t.Context())
	must(t, err)
	for _, c := range changes {
		if want := map[string]string{"evil": GuardedLink}[c.Path]; c.Guarded != want {
			t.Errorf("%s: %q, want %q", c.Path, c.Guarded, want)
		}
	}
}

// What the owner's tools execute may lie behind his own links, and where his own git
// configuration says; and an agent may make a repository of any folder.
func TestWhatTheOwnersFolderExecutesIsGuarded(t *testing.T) {
	b := newBench(t)
	write(t, b.dir, map[string]string{"shared/mcp": "mine", "scripts/pre-commit": "mine", "mirror/HEAD": "x", "mirror/objects/x": "", "mirror/refs/x": "", "mirror/config": "mine",
		".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", ".git/refs/x": "", ".git/config": "[core]\n\thooksPath = scripts\n"})
	must(t, os.Symlink("shared/mcp", b.dir+"/.mcp.json"))
	c := b.take(t, "0000000b")
	write(t, c.Tree(), map[string]string{"shared/mcp": "evil", "scripts/pre-commit": "evil", "docs/HEAD": "x", "docs/commondir": "../y", "mirror/config": "evil", ".ENVRC": "evil", "sub/.Git/hooks/x": "evil", "free": "x"})
	must(t, os.RemoveAll(c.Tree()+"/mirror/refs"))
	changes, err := c.Changes(t.Context())
	must(t, err)
	got := map[string]string{}
	for _, c := range changes {
		got[c.Path] = c.Guarded
	}
	for name, want := range map[string]string{"shared/mcp": GuardedProgram, "scripts/pre-commit": GuardedProgram, "docs/commondir": GuardedProgram, "mirror/config": GuardedProgram, ".ENVRC": GuardedProgram, "sub/.Git/hooks/x": GuardedGit, "free": "", "docs/HEAD": ""} {
		if guarded, there := got[name]; !there || guarded != want {
			t.Errorf("%s: %q, %t; want %q", name, guarded, there, want)
		}
	}
}

// TestMain is also the process that applies until a test kills it.
func TestMain(m *testing.M) {
	home := os.Getenv("APPLY_HOME")
	if home == "" {
		os.Exit(m.Run())
	}
	ctx := context.Background()
	c, err := Find(home, "0000")
	if err == nil {
		var p Plan
		if p, err = c.PlanApply(ctx, RefuseGuarded); err == nil {
			err = c.Apply(ctx, p)
		}
	}
	if err != nil {
		panic(err)
	}
}

// At whatever moment it dies, every file of the owner's is there, as it was or as it is to
// be, and the next time goes on.
func TestApplyThatIsKilledIsRepeated(t *testing.T) {
	for range 20 {
		if killedInBetween(t) {
			return
		}
	}
	t.Fatal("each time it was done before it was killed")
}

func killedInBetween(t *testing.T) bool {
	t.Helper()
	b := newBench(t)
	const n = 1000
	edit := func(dir, text string) {
		for i := range n {
			must(t, os.WriteFile(fmt.Sprintf("%s/f%04d", dir, i), []byte(text), 0o644))
		}
	}
	edit(b.dir, "old")
	must(t, b.copy.Remove())
	b.copy = b.take(t, "0000000a")
	edit(b.copy.Tree(), "new")
	must(t, os.Remove(filepath.Join(b.copy.Tree(), "gone")))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "APPLY_HOME="+b.home)
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	for begun := false; !begun; {
		select {
		case <-ended:
			t.Fatal("it ended, and nothing came")
		default:
			content, err := os.ReadFile(b.dir + "/f0005")
			begun = err != nil || string(content) == "new"
		}
	}
	_ = cmd.Process.Kill() // it may be done
	<-ended
	old := 0
	for i := range n {
		content, err := os.ReadFile(fmt.Sprintf("%s/f%04d", b.dir, i))
		if err != nil || string(content) != "old" && string(content) != "new" {
			t.Fatalf("%d: %q, %v", i, content, err)
		}
		if string(content) == "old" {
			old++
		}
	}
	if old == 0 {
		return false
	}
	p, err := b.apply(t, RefuseGuarded)
	must(t, err)
	if len(p.Interrupted) != 1 || !strings.HasPrefix(p.Interrupted[0], stagePrefix) {
		t.Fatalf("what was left of it is not named: %v", p.Interrupted)
	}
	must(t, os.RemoveAll(filepath.Join(b.dir, p.Interrupted[0])))
	if got, want := state(t, b.dir), state(t, b.copy.Tree()); got != want {
		t.Errorf("got\n%.1000s\nwant\n%.1000s", got, want)
	}
	return true
}

func TestFoldersComeBackWithTheirModes(t *testing.T) {
	b := newBench(t)
	tree := b.copy.Tree()
	write(t, tree, map[string]string{"ro/in/file": "x", "old/new": "x"})
	for _, name := range []string{"ro/in", "ro", "old"} {
		must(t, os.Chmod(filepath.Join(tree, name), 0o555))
	}
	if _, err := b.apply(t, RefuseGuarded); err != nil {
		t.Fatal(err)
	}
	if got, want := state(t, b.dir), state(t, tree); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if p, err := b.apply(t, RefuseGuarded); err != nil || len(p.Do) != 0 {
		t.Errorf("again: %+v, %v", p.Do, err)
	}
}

// A copy that this av cannot read holds somebody's work all the same.
func TestCopyOfAnotherAVIsNotTakenForAnUnfinishedOne(t *testing.T) {
	b := newBench(t)
	must(t, os.WriteFile(filepath.Join(b.copy.Dir, baseFile), []byte("another format"), 0o600))
	copies, unfinished, err := List(b.home)
	if err != nil || len(unfinished) != 0 || len(copies) != 1 || copies[0].Broken == nil || copies[0].Made.IsZero() {
		t.Errorf("%+v, %v, %v", copies, unfinished, err)
	}
	c, err := Find(b.home, "0000000a")
	must(t, err)
	if _, err := c.PlanApply(t.Context(), RefuseGuarded); err == nil || !strings.Contains(err.Error(), "0000000a cannot be read") {
		t.Errorf("%v", err)
	}
	must(t, c.Remove())
}

// A list of copies needs their heads, and not all that is in them.
func TestListReadsOnlyHeads(t *testing.T) {
	b := newBench(t)
	copies, _, err := List(b.home)
	must(t, err)
	if len(copies) != 1 || copies[0].Base.Tree != nil || copies[0].Run != "0000000a" {
		t.Errorf("%+v", copies)
	}
	if changes, err := copies[0].Changes(t.Context()); err != nil || len(changes) != 0 || len(copies[0].Base.Tree) == 0 {
		t.Errorf("%v, %v", changes, err)
	}
}

// What cannot be looked at is told with where it lies.
func TestCopyThatCannotBeLookedAtIsNamed(t *testing.T) {
	b := newBench(t)
	deepen(t, b.copy.Tree(), maxDepth+2)
	_, err := b.copy.Changes(t.Context())
	var h interface{ Hint() string }
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), b.copy.Tree()) {
		t.Errorf("%.200v", err)
	}
}

func TestSameInBothIsNoConflictWhateverItsKind(t *testing.T) {
	b := newBench(t)
	for _, dir := range []string{b.dir, b.copy.Tree()} {
		write(t, dir, map[string]string{"edit": "same", "new/deep": "same\r\n", "bin": "a\x00\xff"})
		must(t, os.Remove(dir+"/gone"))
		must(t, os.RemoveAll(dir+"/old"))
		must(t, os.Chmod(dir+"/run.sh", 0o700))
		must(t, os.Mkdir(dir+"/empty", 0o755))
		must(t, os.Symlink("keep", dir+"/link2"))
	}
	p, err := b.apply(t, RefuseGuarded)
	if err != nil || len(p.Do) != 0 || p.There == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	var out bytes.Buffer
	if _, _, err := b.copy.Diff(t.Context(), &out); err != nil || strings.Contains(out.String(), "@@") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if slices.ContainsFunc(strings.Split(state(t, b.dir), "\n"), func(l string) bool { return strings.HasPrefix(l, stagePrefix) }) {
		t.Error("something is left")
	}
}
