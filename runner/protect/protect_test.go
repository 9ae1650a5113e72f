package protect

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/av-project/av/runner/nofollow"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

func look(t *testing.T, dir string) Seen {
	t.Helper()
	root, err := nofollow.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return Look(root, dir)
}

func includes(t *testing.T, what string, list []string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(list, w) {
			t.Errorf("%s has no %s: %v", what, w, list)
		}
	}
}

func TestRepositoriesOfEveryShapeAreFound(t *testing.T) {
	base := t.TempDir()
	other := filepath.Join(base, "other")
	write(t, other, map[string]string{"file": "x"})
	git(t, other, "init", "-q")
	git(t, other, "add", ".")
	git(t, other, "commit", "-qm", "one")
	dir := filepath.Join(base, "dir")
	write(t, dir, map[string]string{"a": "x", ".vscode/tasks.json": "{}", "packages/one/.npmrc": "x", "packages/two/.cursor/mcp.json": "{}"})
	git(t, dir, "init", "-q")
	git(t, dir, "submodule", "--quiet", "add", other, "libs/sub")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "one")
	git(t, dir, "worktree", "add", "-q", "trees/wt")
	write(t, dir, map[string]string{"nested/file": "x"})
	git(t, filepath.Join(dir, "nested"), "init", "-q")
	git(t, dir, "init", "-q", "--bare", "mirror.git")
	write(t, dir, map[string]string{"node_modules/x/.git/config": "x"})
	seen := look(t, dir)
	includes(t, "closed", seen.Closed, ".git/config", ".git/hooks", ".git/modules/libs/sub/config", ".git/modules/libs/sub/hooks", "libs/sub/.git",
		"trees/wt/.git", ".git/worktrees/wt/commondir", ".git/worktrees/wt/gitdir", "nested/.git/config", "nested/.git/hooks", "mirror.git/config", "mirror.git/hooks",
		".vscode", "packages/one/.npmrc", "packages/two/.cursor")
	includes(t, "pinned", seen.Pinned, ".git", ".git/modules", ".git/modules/libs", ".git/modules/libs/sub", "nested/.git", "mirror.git")
	if slices.Contains(seen.Pinned, "nested") || slices.Contains(seen.Pinned, "libs") {
		t.Errorf("a project's own folder cannot be moved: %v", seen.Pinned)
	}
	if slices.ContainsFunc(seen.Closed, func(name string) bool { return strings.Contains(name, "node_modules") }) {
		t.Errorf("node_modules was walked: %v", seen.Closed)
	}
	if seen.Partly {
		t.Error("a ceiling was met")
	}
	if r := Compare(seen, look(t, dir)); !r.Empty() || r.Partly {
		t.Errorf("nothing changed, and it says %+v", r)
	}
	// What git itself does in there is no news.
	write(t, dir, map[string]string{"a": "y"})
	git(t, dir, "commit", "-qam", "two")
	if r := Compare(seen, look(t, dir)); !r.Empty() {
		t.Errorf("a commit is reported: %+v", r)
	}
	bare := look(t, filepath.Join(dir, "mirror.git"))
	includes(t, "a bare repository as a workspace", bare.Closed, "config", "hooks")
}

// Each is what an agent could do, and each has to be told.
func TestWhatToolsWouldExecuteIsFoundHoweverItGotThere(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, dir string)
		want string
	}{
		"a hook":                {func(t *testing.T, dir string) { write(t, dir, map[string]string{".git/hooks/pre-commit": "x"}) }, "created .git/hooks/pre-commit"},
		"a configuration":       {func(t *testing.T, dir string) { write(t, dir, map[string]string{".git/config": "[alias]"}) }, "changed .git/config"},
		"a bit":                 {func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, ".envrc"), 0o755)) }, "changed .envrc"},
		"another common folder": {func(t *testing.T, dir string) { write(t, dir, map[string]string{".git/commondir": "../evil"}) }, "created .git/commondir"},
		"a rebase": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{".git/rebase-merge/git-rebase-todo": "exec x"})
		}, "created .git/rebase-merge/git-rebase-todo"},
		"a repository": {func(t *testing.T, dir string) { write(t, dir, map[string]string{"a/b/.git/config": "x"}) }, "created a/b/.git/config"},
		"a bare repository": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"x/HEAD": "x", "x/objects/y": "", "x/refs/y": "", "x/config": "x"})
		}, "created x/config"},
		"a git file": {func(t *testing.T, dir string) { write(t, dir, map[string]string{"d/.git": "gitdir: ../e"}) }, "created d/.git"},
		"another git folder": {func(t *testing.T, dir string) {
			must(t, os.Rename(dir+"/.git", dir+"/.git2"))
			write(t, dir, map[string]string{".git/config": "x", ".git/HEAD": "x"})
		}, "changed .git/config"},
		"a parent that was moved": {func(t *testing.T, dir string) {
			must(t, os.Rename(dir+"/.github", dir+"/old"))
			write(t, dir, map[string]string{".github/workflows/w.yml": "evil"})
		}, "changed .github/workflows/w.yml"},
		"a link to a file": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"x": "x"})
			must(t, os.Symlink("x", dir+"/.npmrc"))
		}, "created .npmrc"},
		"a link to a folder": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"x/settings.json": "x"})
			must(t, os.Symlink("x", dir+"/.claude"))
		}, "created .claude .claude -> x/settings.json"},
		"a link out of it":     {func(t *testing.T, dir string) { must(t, os.Symlink("/etc", dir+"/.idea")) }, "created .idea"},
		"what a link leads to": {func(t *testing.T, dir string) { write(t, dir, map[string]string{"shared/mcp": "evil"}) }, "changed .mcp.json -> shared/mcp"},
		"a link in a file's place": {func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/.envrc"))
			must(t, os.Symlink("/etc/passwd", dir+"/.envrc"))
		}, "changed .envrc"},
		"editor settings": {func(t *testing.T, dir string) { write(t, dir, map[string]string{".vscode/tasks.json": "x"}) }, "created .vscode/tasks.json"},
		"of a package":    {func(t *testing.T, dir string) { write(t, dir, map[string]string{"p/q/.vscode/tasks.json": "x"}) }, "created p/q/.vscode/tasks.json"},
		"a settings file by glob": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{".claude/settings.local.json": "x", "my.code-workspace": "x"})
		}, "created .claude/settings.local.json my.code-workspace"},
		"a rule that went": {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/.envrc")) }, "removed .envrc"},
		"a pipe":           {func(t *testing.T, dir string) { must(t, exec.Command("mkfifo", dir+"/.exrc").Run()) }, "created .exrc"},
		"a file of its own": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"src/main.go": "x", ".gitattributes": "* filter=x"})
		}, ""},
		"a test": {func(t *testing.T, dir string) { write(t, dir, map[string]string{"Makefile": "x", "conftest.py": "x"}) }, "built Makefile conftest.py"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			git(t, dir, "init", "-q")
			write(t, dir, map[string]string{".envrc": "x", ".github/workflows/w.yml": "x", "shared/mcp": "x"})
			must(t, os.Symlink("shared/mcp", dir+"/.mcp.json"))
			before := look(t, dir)
			c.do(t, dir)
			r := Compare(before, look(t, dir))
			var got []string
			for _, kind := range []struct {
				word string
				list []string
			}{{"created", r.Created}, {"changed", r.Changed}, {"removed", r.Removed}, {"built", r.Built}} {
				if len(kind.list) > 0 {
					got = append(got, kind.word+" "+strings.Join(kind.list, " "))
				}
			}
			all := strings.Join(got, "; ")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("it says %q, want %q", all, c.want)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatIsNewAndAsItWasSeenIsRemoved(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{".envrc": "mine", "x/settings.json": "x"})
	before := look(t, dir)
	write(t, dir, map[string]string{".envrc": "changed", ".vscode/tasks.json": "new", ".exrc": "new"})
	must(t, os.Symlink("x", dir+"/.claude"))
	r := Compare(before, look(t, dir))
	write(t, dir, map[string]string{".exrc": "changed since"})
	root, err := nofollow.Open(dir)
	must(t, err)
	defer root.Close()
	if left := Remove(root, dir, r); !slices.Equal(left, []string{".exrc"}) {
		t.Errorf("left: %v", left)
	}
	for name, there := range map[string]bool{".envrc": true, ".exrc": true, ".vscode/tasks.json": false, ".claude": false, "x/settings.json": true} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPathsThatAreProtectedAnywhere(t *testing.T) {
	for name, want := range map[string]bool{
		".envrc": true, "a/b/.envrc": true, ".vscode/tasks.json": true, "x/.vscode/a/b": true, ".git/objects/x": true, "sub/.git": true, ".github/workflows/x.yml": true,
		".claude/settings.local.json": true, "my.code-workspace": true, ".cargo/config.toml": true,
		"src/main.go": false, ".github/CODEOWNERS": false, ".claude/skills/x/SKILL.md": true, ".claude/plans/x": false, "workflows/x.yml": false, "envrc": false, ".gitignore": false, "Makefile": false,
	} {
		if Covers(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}

// A worktree's .git file is the agent's to write: what it names must name it back.
func TestGitFolderOutsideIsBelievedOnlyIfItNamesTheWorktree(t *testing.T) {
	base := t.TempDir()
	repo, tree := filepath.Join(base, "repo"), filepath.Join(base, "tree")
	write(t, repo, map[string]string{"a": "x"})
	git(t, repo, "init", "-q")
	git(t, repo, "add", ".")
	git(t, repo, "commit", "-qm", "one")
	git(t, repo, "worktree", "add", "-q", tree)
	find := func(dir string) (*Worktree, error) {
		root, err := nofollow.Open(dir)
		must(t, err)
		defer root.Close()
		return FindWorktree(root, dir)
	}
	w, err := find(tree)
	if err != nil || w == nil || w.Common != filepath.Join(repo, ".git") || w.Own != filepath.Join(repo, ".git/worktrees/tree") {
		t.Fatalf("%+v, %v", w, err)
	}
	if w, err := find(repo); w != nil || err != nil {
		t.Errorf("a repository: %+v, %v", w, err)
	}
	secret := filepath.Join(base, "secret")
	write(t, secret, map[string]string{"id": "x"})
	must(t, os.Symlink(filepath.Join(repo, ".git"), filepath.Join(base, "link")))
	for _, named := range []string{secret, filepath.Join(secret, "worktrees", "x"), filepath.Join(repo, ".git"), filepath.Join(repo, ".git", "hooks"), "/", "../secret", filepath.Join(base, "link/worktrees/tree")} {
		write(t, tree, map[string]string{".git": "gitdir: " + named + "\n"})
		if w, err := find(tree); w != nil || err == nil {
			t.Errorf("%s was believed: %+v", named, w)
		}
	}
	// Another worktree's folder names another worktree.
	git(t, repo, "worktree", "add", "-q", filepath.Join(base, "second"))
	write(t, tree, map[string]string{".git": "gitdir: " + filepath.Join(repo, ".git/worktrees/second") + "\n"})
	if w, err := find(tree); w != nil || err == nil {
		t.Errorf("another worktree's was believed: %+v", w)
	}
	// The file is read up to its ceiling.
	own := "gitdir: " + filepath.Join(repo, ".git/worktrees/tree") + "\n"
	write(t, tree, map[string]string{".git": own + strings.Repeat("\n", maxGitFile-len(own))})
	if w, err := find(tree); w == nil || err != nil {
		t.Errorf("at the ceiling: %v", err)
	}
	write(t, tree, map[string]string{".git": "gitdir: " + strings.Repeat("/", maxGitFile) + own[len("gitdir: "):]})
	if w, _ := find(tree); w != nil {
		t.Error("more was read than the ceiling allows")
	}
}

func TestLookMeetsItsCeilings(t *testing.T) {
	for name, c := range map[string]struct {
		add      func(t *testing.T, dir string, from, to int)
		at, over int
	}{
		"folders":      {folders(""), maxFolders - 11, maxFolders - 10},
		"names":        {files(""), maxListed, maxListed + 1},
		"files":        {files(".vscode/"), maxFiles - 1, maxFiles},
		"bytes":        {sized, maxBytes, maxBytes + 1},
		"repositories": {repositories, maxRepositories/2 - 1, maxRepositories/2 + 1},
		"below":        {deep(".vscode/"), maxBelow - 1, maxBelow},
		"modules":      {deep(".git/modules/"), maxDepth, maxDepth + 1},
		"submodules":   {folders(".git/modules/"), maxFolders - 11, maxFolders - 10},
		"config":       {config, maxConfig, maxConfig + 1},
		"steps":        {named, maxSteps / 17, maxSteps/17 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c.add(t, dir, 0, c.at)
			if look(t, dir).Partly {
				t.Error("at the ceiling something is not looked at")
			}
			c.add(t, dir, c.at, c.over)
			if !look(t, dir).Partly {
				t.Error("over the ceiling nothing is said")
			}
		})
	}
	t.Run("depth", func(t *testing.T) {
		dir := t.TempDir()
		at := strings.Repeat("d/", maxDepth)
		write(t, dir, map[string]string{at + ".envrc": "x", at + "d/.envrc": "x"})
		if seen := look(t, dir); len(seen.Files) != 1 {
			t.Errorf("%v", seen.Files)
		}
	})
	t.Run("links", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, map[string]string{"end": "x"})
		must(t, os.Symlink("end", dir+"/l0"))
		for i := range maxHops + 1 {
			must(t, os.Symlink(fmt.Sprint("l", i), fmt.Sprint(dir, "/l", i+1)))
		}
		must(t, os.Symlink(fmt.Sprint("l", maxHops-2), dir+"/.exrc"))
		must(t, os.Symlink(fmt.Sprint("l", maxHops-1), dir+"/.nvimrc"))
		reached := func(name string) bool {
			for file := range look(t, dir).Files {
				if strings.HasPrefix(file, name) && strings.HasSuffix(file, behind+"end") {
					return true
				}
			}
			return false
		}
		if !reached(".exrc") || reached(".nvimrc") {
			t.Error("another number of links was followed")
		}
	})
}

func folders(in string) func(t *testing.T, dir string, from, to int) {
	return func(t *testing.T, dir string, from, to int) {
		for i := from; i < to; i++ {
			must(t, os.MkdirAll(fmt.Sprint(dir, "/", in, i%10, "/", i), 0o755))
		}
	}
}

// named writes a configuration with that many names, each of which takes 7 steps from the one and 10 from the other of
// two folders.
func named(t *testing.T, dir string, _, to int) {
	write(t, dir, map[string]string{".git/config": "[a]\nb = " + strings.Repeat("x/y ", to)})
}

func config(t *testing.T, dir string, _, to int) {
	write(t, dir, map[string]string{".git/config": strings.Repeat("#", to)})
}

func files(in string) func(t *testing.T, dir string, from, to int) {
	return func(t *testing.T, dir string, from, to int) {
		must(t, os.MkdirAll(filepath.Join(dir, in), 0o755))
		for i := from; i < to; i++ {
			must(t, os.WriteFile(filepath.Join(dir, in, fmt.Sprint(i)), nil, 0o644))
		}
	}
}

func sized(t *testing.T, dir string, _, to int) {
	write(t, dir, map[string]string{".envrc": ""})
	must(t, os.Truncate(filepath.Join(dir, ".envrc"), int64(to)))
}

func repositories(t *testing.T, dir string, from, to int) {
	for i := from; i < to; i++ {
		must(t, os.MkdirAll(filepath.Join(dir, fmt.Sprint(i), ".git"), 0o755))
	}
}

func deep(in string) func(t *testing.T, dir string, from, to int) {
	return func(t *testing.T, dir string, _, to int) {
		write(t, dir, map[string]string{in + strings.Repeat("d/", to) + "file": "x"})
	}
}
