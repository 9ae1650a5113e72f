package workcopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/av-project/av/runner/nofollow"
)

// bench is a workspace, a copy of it, and a folder outside of both.
type bench struct {
	home, dir, outside string
	copy               *Copy
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	base := t.TempDir()
	b := &bench{home: filepath.Join(base, "home"), dir: filepath.Join(base, "dir"), outside: filepath.Join(base, "outside")}
	write(t, b.outside, map[string]string{"file": "secret"})
	write(t, b.dir, map[string]string{
		"keep": "k\n", "edit": "one\ntwo\nthree\n", "gone": "g\n", "old/a": "a", "old/b/c": "c", "run.sh": "#!/bin/sh\n",
		".envrc": "mine", ".git/config": "[core]\n", "bin": "a\x00b",
	})
	must(t, os.Chmod(filepath.Join(b.dir, "run.sh"), 0o755))
	must(t, os.Symlink("keep", filepath.Join(b.dir, "link")))
	must(t, os.Symlink("../outside", filepath.Join(b.dir, "out")))
	b.copy = b.take(t, "0000000a")
	return b
}

func (b *bench) take(t *testing.T, run string) *Copy {
	t.Helper()
	from, err := nofollow.Walk(b.dir)
	must(t, err)
	defer from.Close()
	c, _, err := Take(t.Context(), b.home, run, b.dir, "sh", from, os.Getuid(), os.Getgid())
	must(t, err)
	return c
}

// apply applies, as somebody would who found the copy later.
func (b *bench) apply(t *testing.T, choice Choice) (Plan, error) {
	t.Helper()
	c, err := Find(b.home, "0000")
	must(t, err)
	p, err := c.PlanApply(t.Context(), choice)
	must(t, err)
	return p, c.Apply(t.Context(), p)
}

// state is all of a folder, as text.
func state(t *testing.T, dir string) string {
	t.Helper()
	root, err := nofollow.Open(dir)
	must(t, err)
	defer root.Close()
	tree, err := scan(t.Context(), root, nil)
	must(t, err)
	var lines []string
	for name, e := range tree {
		if e.Kind == nofollow.File && e.Sum == "" {
			e.Sum, err = digest(t.Context(), root, name)
			must(t, err)
		}
		lines = append(lines, fmt.Sprintf("%s %v %o %s%s", name, e.Kind, e.Perm, e.Sum, e.Link))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestCopyIsAsTheWorkspaceWas(t *testing.T) {
	b := newBench(t)
	if got, want := state(t, b.copy.Tree()), state(t, b.dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if changes, err := b.copy.Changes(t.Context()); err != nil || len(changes) != 0 {
		t.Errorf("%v, %v", changes, err)
	}
	listener, err := net.Listen("unix", filepath.Join(b.dir, "s"))
	must(t, err)
	defer listener.Close()
	from, err := nofollow.Walk(b.dir)
	must(t, err)
	defer from.Close()
	c, skipped, err := Take(t.Context(), b.home, "0000000b", b.dir, "sh", from, os.Getuid(), os.Getgid())
	must(t, err)
	if _, there := c.Base.Tree["s"]; there || skipped != 1 {
		t.Errorf("%d were left out", skipped)
	}
}

func TestWorkComesBackWhole(t *testing.T) {
	b := newBench(t)
	tree := b.copy.Tree()
	write(t, tree, map[string]string{"edit": "one\n2\nthree\n", "new/deep/file": "n", "bin": "a\x00c", "swap/in": "x"})
	must(t, os.Remove(filepath.Join(tree, "gone")))
	must(t, os.RemoveAll(filepath.Join(tree, "old")))
	must(t, os.Chmod(filepath.Join(tree, "run.sh"), 0o644))
	must(t, os.Chmod(filepath.Join(tree, "new/deep/file"), 0o711))
	must(t, os.Remove(filepath.Join(tree, "link")))
	must(t, os.Symlink("edit", filepath.Join(tree, "link")))
	// A file in a folder's place, and a folder in a link's.
	must(t, os.WriteFile(filepath.Join(tree, "old"), []byte("a file now"), 0o644))
	must(t, os.Remove(filepath.Join(tree, "out")))
	write(t, tree, map[string]string{"out/file": "mine"})
	p, err := b.apply(t, RefuseGuarded)
	must(t, err)
	if len(p.Do) == 0 {
		t.Fatal("nothing was done")
	}
	if got, want := state(t, b.dir), state(t, tree); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if content, err := os.ReadFile(filepath.Join(b.outside, "file")); err != nil || string(content) != "secret" {
		t.Errorf("outside: %q, %v", content, err)
	}
	// Once more: all of it is there already.
	p, err = b.apply(t, RefuseGuarded)
	if err != nil || len(p.Do) != 0 {
		t.Errorf("again: %+v, %v", p.Do, err)
	}
}

func TestConflictAppliesNothing(t *testing.T) {
	for name, theirs := range map[string]func(t *testing.T, dir string){
		"edited":       func(t *testing.T, dir string) { write(t, dir, map[string]string{"edit": "mine"}) },
		"removed":      func(t *testing.T, dir string) { must(t, os.Remove(dir+"/edit")) },
		"another mode": func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/edit", 0o600)) },
		"a link in its place": func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/edit"))
			must(t, os.Symlink("../outside/file", dir+"/edit"))
		},
		"a new file":         func(t *testing.T, dir string) { write(t, dir, map[string]string{"new": "mine"}) },
		"no folder any more": func(t *testing.T, dir string) { must(t, os.RemoveAll(dir+"/old")) },
		"a link on the way": func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir+"/old"))
			must(t, os.Symlink("../outside", dir+"/old"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			write(t, b.copy.Tree(), map[string]string{"edit": "agent", "new": "agent", "old/file": "agent"})
			theirs(t, b.dir)
			before := state(t, b.dir)
			p, err := b.apply(t, RefuseGuarded)
			if _, ok := errors.AsType[*Conflict](err); !ok || len(p.Conflicts) == 0 {
				t.Errorf("%v, %v", p.Conflicts, err)
			}
			if after := state(t, b.dir); after != before {
				t.Errorf("something was applied:\n%s\nwas\n%s", after, before)
			}
			if content, err := os.ReadFile(filepath.Join(b.outside, "file")); err != nil || string(content) != "secret" {
				t.Errorf("outside: %q, %v", content, err)
			}
		})
	}
	t.Run("the same in both is none", func(t *testing.T) {
		b := newBench(t)
		write(t, b.copy.Tree(), map[string]string{"edit": "same", "new": "agent"})
		write(t, b.dir, map[string]string{"edit": "same", "keep": "mine"})
		p, err := b.apply(t, RefuseGuarded)
		if err != nil || p.There != 1 || len(p.Do) != 1 {
			t.Errorf("%+v, %v", p, err)
		}
	})
	t.Run("what is more in a folder that goes stays", func(t *testing.T) {
		b := newBench(t)
		must(t, os.RemoveAll(b.copy.Tree()+"/old"))
		write(t, b.dir, map[string]string{"old/mine": "mine"})
		if _, err := b.apply(t, RefuseGuarded); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(b.dir + "/old/mine"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(b.dir + "/old/a"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

func TestWhatToolsWouldExecuteIsAppliedOnlyWhenAskedFor(t *testing.T) {
	b := newBench(t)
	tree := b.copy.Tree()
	write(t, tree, map[string]string{".envrc": "evil", ".vscode/tasks.json": "evil", "sub/.git/config": "evil", "x/HEAD": "x", "x/objects/y": "", "x/refs/y": "", "x/config": "evil", ".git/hooks/pre-commit": "evil", "edit": "agent"})
	must(t, os.Symlink(b.outside, filepath.Join(tree, "leads-out")))
	must(t, os.Symlink("keep", filepath.Join(tree, "leads-in")))
	must(t, os.Symlink("x", filepath.Join(tree, ".claude")))
	before := state(t, b.dir)
	_, err := b.apply(t, RefuseGuarded)
	g, ok := errors.AsType[*Guarded](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	for _, name := range []string{".envrc", ".vscode/tasks.json", "x/config", "leads-out", ".claude"} {
		if !slices.ContainsFunc(g.Changes, func(c Change) bool { return c.Path == name }) {
			t.Errorf("%s is not guarded", name)
		}
	}
	if state(t, b.dir) != before {
		t.Error("something was applied")
	}
	p, err := b.apply(t, SkipGuarded)
	must(t, err)
	for name, there := range map[string]bool{".vscode/tasks.json": false, "sub/.git/config": false, "x/config": false, ".git/hooks/pre-commit": false, "leads-out": false, "leads-in": true, ".claude": false, "x/HEAD": true} {
		if _, err := os.Lstat(filepath.Join(b.dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if content, _ := os.ReadFile(b.dir + "/.envrc"); string(content) != "mine" || len(p.Left) == 0 {
		t.Errorf(".envrc is %q, left %d", content, len(p.Left))
	}
	// The control: who asks for it gets it.
	if _, err := b.apply(t, IncludeGuarded); err != nil {
		t.Fatal(err)
	}
	if got, want := state(t, b.dir), state(t, tree); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A disk that fills up, or a file that changes in that moment, leaves all as it was.
func TestApplyThatFailsPutsBackWhatItDid(t *testing.T) {
	b := newBench(t)
	tree := b.copy.Tree()
	write(t, tree, map[string]string{"edit": "agent", "a-new/file": "agent", "keep": "agent"})
	must(t, os.Remove(filepath.Join(tree, "gone")))
	must(t, os.RemoveAll(filepath.Join(tree, "old")))
	p, err := b.copy.PlanApply(t.Context(), RefuseGuarded)
	must(t, err)
	write(t, b.dir, map[string]string{"keep": "mine, just now"})
	before := state(t, b.dir)
	if err := b.copy.Apply(t.Context(), p); err == nil || !strings.Contains(err.Error(), "keep changed just now") {
		t.Errorf("%v", err)
	}
	if after := state(t, b.dir); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p, err = b.copy.PlanApply(t.Context(), RefuseGuarded)
	must(t, err)
	cancel()
	if err := b.copy.Apply(ctx, Plan{Do: p.Do, theirs: p.theirs}); err == nil {
		t.Error("it went on after it was interrupted")
	}
	if after := state(t, b.dir); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

func TestAnotherFolderIsNotAppliedTo(t *testing.T) {
	b := newBench(t)
	write(t, b.copy.Tree(), map[string]string{"edit": "agent"})
	must(t, os.Rename(b.dir, b.dir+"-away"))
	must(t, os.Mkdir(b.dir, 0o755))
	if _, err := b.copy.PlanApply(t.Context(), RefuseGuarded); err == nil {
		t.Error("it is applied to another folder")
	}
	must(t, os.Remove(b.dir))
	must(t, os.Symlink(b.dir+"-away", b.dir))
	if _, err := b.copy.PlanApply(t.Context(), RefuseGuarded); err == nil {
		t.Error("it is applied through a link")
	}
}

func TestDiffIsWhatPatchReads(t *testing.T) {
	b := newBench(t)
	tree := b.copy.Tree()
	write(t, tree, map[string]string{"edit": "one\n2\nthree", "new": "n\n", "bin": "a\x00c", "x\n+++ b/.bashrc": "forged\n", ".envrc": "evil", ".git/x": "x"})
	must(t, os.Remove(filepath.Join(tree, "gone")))
	write(t, tree, map[string]string{"large": strings.Repeat("x", maxText+1), "just": strings.Repeat("y", maxText)})
	write(t, b.dir, map[string]string{"edit": "zero\none\ntwo\nthree\n"})
	var out bytes.Buffer
	shown, gits, err := b.copy.Diff(t.Context(), &out)
	must(t, err)
	text := out.String()
	for _, want := range []string{
		"--- a/edit\n+++ b/edit\n", "-two\n", "+2\n", "\\ No newline at end of file\n", "# changed in your folder too",
		"--- /dev/null\n+++ b/new\n@@ -0,0 +1,1 @@\n+n\n", "--- a/gone\n+++ /dev/null\n", "diff bin\n", "# not shown: it is binary", "# protected: " + GuardedProgram,
		"diff large\nnew mode 0644\n# not shown", "+++ b/just\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%.2000s", want, text)
		}
	}
	if strings.Contains(text, "\n+++ b/.bashrc\n") {
		t.Error("a name forged the head of another file")
	}
	if shown != 9 || gits != 1 {
		t.Errorf("%d shown, %d of git's", shown, gits)
	}
}

func TestCopiesAreFoundByTheirRun(t *testing.T) {
	b := newBench(t)
	b.take(t, "0000000b")
	must(t, os.MkdirAll(filepath.Join(Dir(b.home), "0000000c", "tree"), 0o700))
	copies, unfinished, err := List(b.home)
	if err != nil || len(copies) != 2 || !slices.Equal(unfinished, []string{"0000000c"}) {
		t.Errorf("%v, %v, %v", copies, unfinished, err)
	}
	for run, want := range map[string]bool{"0000000a": true, "0000000b": true, "0000000c": false, "0000": false, "": false, "0000000ab": false, "../": false} {
		c, err := Find(b.home, run)
		if (err == nil) != want || want && c.Run != run {
			t.Errorf("%q: %v, %v", run, c, err)
		}
	}
	// A folder that lets nobody in goes too.
	must(t, os.MkdirAll(filepath.Join(b.copy.Tree(), "closed", "in"), 0o755))
	must(t, os.Chmod(filepath.Join(b.copy.Tree(), "closed"), 0))
	must(t, b.copy.Remove())
	if _, err := os.Lstat(b.copy.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestWorkspaceWithTooMuchInItIsNotCopied(t *testing.T) {
	deep := strings.Repeat("d/", maxDepth)
	for name, c := range map[string]struct {
		met      extent
		at, over string
	}{
		"entries": {extent{entries: maxEntries - 1}, "a", "b"},
		"names":   {extent{names: maxNames - 1}, "a", "b"},
		"depth":   {extent{}, deep + "a", deep + "d/a"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{c.at: ""})
			take := func() error {
				root, err := nofollow.Open(dir)
				must(t, err)
				defer root.Close()
				to, err := nofollow.Open(t.TempDir())
				must(t, err)
				defer to.Close()
				taken := (&taker{ctx: t.Context(), uid: -1, gid: -1, tree: Tree{}, extent: c.met}).folder("", root, to)
				scanned := (&scanner{ctx: t.Context(), tree: Tree{}, extent: c.met}).folder(root, "")
				if (taken == nil) != (scanned == nil) {
					t.Errorf("copied: %v, looked at: %v", taken, scanned)
				}
				return taken
			}
			must(t, take())
			write(t, dir, map[string]string{c.over: ""})
			err := take()
			if _, ok := errors.AsType[*tooLarge](err); !ok {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestErrorsNameAFewPaths(t *testing.T) {
	list := strings.Split(strings.Repeat("x ", maxNamed), " ")[:maxNamed]
	if got := names(list); strings.Contains(got, "more") {
		t.Error(got)
	}
	if got := names(append(list, "x")); !strings.HasSuffix(got, " and 1 more") {
		t.Error(got)
	}
	if got := names([]string{"a\nav: error: forged"}); strings.Contains(got, "\n") {
		t.Error(got)
	}
}
