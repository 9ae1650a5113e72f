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

// runsOnStatus tells whether git, asked for the status of a folder, runs what a configuration
// below it names: the control of what the attacks want.
func runsOnStatus(t *testing.T, dir string) bool {
	t.Helper()
	proof := filepath.Join(t.TempDir(), "ran")
	cmd := exec.Command("git", "status")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "PROOF="+proof)
	_, _ = cmd.CombinedOutput()
	_, err := os.Stat(proof)
	return err == nil
}

const evilConfig = "[core]\n\trepositoryformatversion = 1\n\tfsmonitor = \"touch $PROOF; false\"\n[extensions]\n\tworktreeConfig = true\n"

// HEAD and such, which make a folder one of git's by their names alone, hid all that lies
// beside them and below.
func TestFolderThatLooksLikeGitsHidesNothing(t *testing.T) {
	for _, where := range []string{"", "pkg/"} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"file": "x"})
		before := look(t, dir)
		write(t, dir, map[string]string{where + "HEAD": "", where + "objects": "", where + "refs": "", where + ".envrc": "evil", where + "sub/.vscode/tasks.json": "evil", where + "sub/.git/config": "evil"})
		includes(t, "created", Compare(before, look(t, dir)).Created, where+".envrc", where+"sub/.vscode/tasks.json", where+"sub/.git/config")
	}
}

func TestRepositoryThatKeepsItsObjectsElsewhereIsFound(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	before := look(t, dir)
	write(t, dir, map[string]string{"docs/HEAD": "ref: refs/heads/main\n", "docs/commondir": "../y\n", "docs/config.worktree": "[core]\n\tbare = false\n\tworktree = .\n", "y/config": evilConfig, "y/objects/x": "", "y/refs/x": ""})
	if !runsOnStatus(t, filepath.Join(dir, "docs")) {
		t.Fatal("control: git does not run what is configured there")
	}
	includes(t, "created", Compare(before, look(t, dir)).Created, "docs/commondir", "y/config")
}

// Where a .git is a file or a link, what it names is git's wherever it lies in the folder.
func TestGitFolderThatIsNamedIsClosedWhereverItLies(t *testing.T) {
	dir := t.TempDir()
	at := ".cache/1/2/3/4/5/6/7/repo"
	write(t, dir, map[string]string{"file": "x", "linked/file": "x"})
	must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(at)), 0o755))
	git(t, dir, "init", "-q", "--separate-git-dir", filepath.Join(dir, at), "sub")
	git(t, dir, "init", "-q", "linked")
	must(t, os.Rename(dir+"/linked/.git", dir+"/.cache/other"))
	must(t, os.Symlink("../.cache/other", dir+"/linked/.git"))
	git(t, dir, "init", "-q")
	seen := look(t, dir)
	includes(t, "closed", seen.Closed, at+"/config", at+"/hooks", ".cache/other/config", ".cache/other/hooks", "sub/.git")
	write(t, dir, map[string]string{"linked/x": "x"})
	git(t, dir+"/linked", "add", ".")
	git(t, dir+"/linked", "commit", "-qm", "one")
	if r := Compare(seen, look(t, dir)); !r.Empty() {
		t.Errorf("a commit behind a link is reported: %+v", r)
	}
}

func TestSubmoduleWhoseHeadIsALinkIsOne(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	before := look(t, dir)
	write(t, dir, map[string]string{".git/modules/m/config": "evil"})
	must(t, os.Symlink("refs/heads/main", dir+"/.git/modules/m/HEAD"))
	includes(t, "created", Compare(before, look(t, dir)).Created, ".git/modules/m/config")
}

// What git runs need not lie in its folder: configurations name hooks, other configurations
// and programs that lie in the work tree.
func TestWhatGitsConfigurationNamesIsProtected(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"scripts/hooks/pre-commit": "x", "git/shared.config": "x", "tools/clean.sh": "x", "tools/mine.sh": "x"})
	git(t, dir, "init", "-q")
	git(t, dir, "config", "core.hooksPath", "scripts/hooks")
	git(t, dir, "config", "include.path", "../git/shared.config")
	git(t, dir, "config", "filter.x.clean", "sh ./tools/clean.sh %f")
	before := look(t, dir)
	includes(t, "closed", before.Closed, "scripts/hooks", "git/shared.config")
	if slices.Contains(before.Closed, "tools/clean.sh") {
		t.Error("a program that is worked on is closed")
	}
	write(t, dir, map[string]string{"scripts/hooks/pre-commit": "evil", "scripts/hooks/post-checkout": "evil", "git/shared.config": "evil", "tools/clean.sh": "evil", "tools/mine.sh": "y"})
	r := Compare(before, look(t, dir))
	includes(t, "created", r.Created, "scripts/hooks/post-checkout")
	if want := []string{"git/shared.config", "scripts/hooks/pre-commit", "tools/clean.sh"}; !slices.Equal(r.Changed, want) {
		t.Errorf("changed: %v, want %v", r.Changed, want)
	}
}

// On a file system that does not tell cases apart, .ENVRC is read as .envrc.
func TestNamesAreComparedAsFileSystemsMayCompareThem(t *testing.T) {
	dir := t.TempDir()
	before := look(t, dir)
	write(t, dir, map[string]string{"sub/.ENVRC": "x", "sub/.envrc": "x", ".claude/Settings.json": "x", "one/.GIT/config": "x"})
	includes(t, "created", Compare(before, look(t, dir)).Created, "sub/.envrc", ".claude/Settings.json", "one/.GIT/config")
	for _, name := range []string{".GIT/hooks/x", ".Envrc", "a/.VſCODE/tasks.json", ".\u200cgit/config", ".gitHub/Workflows/x.yml"} {
		if !Covers(name) {
			t.Errorf("%q is not covered", name)
		}
	}
	if !CoversInGit("Hooks/x") || !LeadsTo(".GitHub") || Covers("vscode/x") {
		t.Error("below git folders, links or other names are compared in another way")
	}
}

// A name can look like what av writes of a link.
func TestNameCannotPassForALinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"shared/oc": "mine"})
	must(t, os.Symlink("shared/oc", dir+"/opencode.json"))
	before := look(t, dir)
	write(t, dir, map[string]string{"shared/oc": "evil", "opencode.json -> shared/oc": "mine", ".github/workflows/a -> b.yml": "evil"})
	r := Compare(before, look(t, dir))
	includes(t, "changed", r.Changed, "opencode.json -> shared/oc")
	root, err := nofollow.Open(dir)
	must(t, err)
	defer root.Close()
	if left := Remove(root, dir, r); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Lstat(dir + "/.github/workflows/a -> b.yml"); err == nil {
		t.Error("it says that all is removed, and a file is there")
	}
}

// A link on the way to what a link leads to.
func TestLinksAreFollowedAsTheKernelFollowsThem(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"real/deep/envrc": "x", "real/mcp": "x"})
	must(t, os.Symlink("real/deep", dir+"/way"))
	must(t, os.Symlink("way/envrc", dir+"/.envrc"))
	must(t, os.Symlink("way/../mcp", dir+"/.mcp.json"))
	before := look(t, dir)
	write(t, dir, map[string]string{"real/deep/envrc": "evil", "real/mcp": "evil"})
	includes(t, "changed", Compare(before, look(t, dir)).Changed, ".envrc -> real/deep/envrc", ".mcp.json -> real/mcp")
}

// Many links to many empty folders would hold av up for hours.
func TestLookEndsHoweverMuchThereIs(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		must(t, os.MkdirAll(fmt.Sprintf("%s/tree/%d/%d", dir, i%17, i), 0o755))
	}
	must(t, os.Mkdir(dir+"/.vscode", 0o755))
	for i := range 3000 {
		must(t, os.Symlink("../tree", fmt.Sprintf("%s/.vscode/%d", dir, i)))
	}
	if seen := look(t, dir); !seen.Partly || len(seen.Files) > 2*maxFiles {
		t.Errorf("%d files, partly %t", len(seen.Files), seen.Partly)
	}
}

// What lies near the top is closed first: of more than can be closed, the repository of the
// folder itself is not what is left open.
func TestNearestIsClosedFirst(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	for i := range 100 {
		write(t, dir, map[string]string{fmt.Sprint("p", i, "/.npmrc"): "x"})
	}
	seen := look(t, dir)
	if at := slices.Index(seen.Closed, ".git/hooks"); at < 0 || at > 2 {
		t.Errorf("the hooks are number %d of %d: %s", at, len(seen.Closed), strings.Join(seen.Closed[:5], " "))
	}
}
