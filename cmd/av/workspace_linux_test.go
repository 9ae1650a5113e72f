package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/av-project/av/scripts/require"
)

// workspace makes a folder with files, and git repositories in the folders that are named.
func workspace(t *testing.T, files map[string]string, repositories ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	putFiles(t, dir, files)
	for _, r := range repositories {
		gitIn(t, filepath.Join(dir, r), "init", "-q")
		gitIn(t, filepath.Join(dir, r), "add", ".")
		gitIn(t, filepath.Join(dir, r), "commit", "-qm", "one", "--allow-empty")
	}
	return dir
}

func putFiles(t *testing.T, dir string, files map[string]string) {
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

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return string(out)
}

// outcome is what a run did.
type outcome struct {
	out, errs string
	code      int
}

func runIn(t *testing.T, av string, env []string, dir, script string, flags ...string) outcome {
	t.Helper()
	args := append(append([]string{"run", "--isolation=container"}, flags...), "--", "sh", "-c", script)
	cmd := exec.Command(av, args...)
	cmd.Env, cmd.Dir = env, dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// control runs a script in an ordinary container that has the folder for its workspace.
func control(t *testing.T, dir, script string) string {
	t.Helper()
	out, err := exec.Command("docker", "run", "--rm", "--network", "none", "-v", dir+":/workspace", "-w", "/workspace", require.Image, "sh", "-c", script).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 7) {
		t.Fatalf("control: %v: %s", err, out)
	}
	return string(out)
}

// closedPaths are what the workspace of the next test has for the host's tools to execute.
var closedPaths = []string{
	".git/config", ".git/hooks/pre-commit.sample", ".git/modules/libs/sub/config", "libs/sub/.git", "nested/.git/config", "mirror.git/config",
	".git/worktrees/wt/commondir", "trees/wt/.git", ".envrc", ".vscode/tasks.json", ".idea/x.xml", ".devcontainer/devcontainer.json", ".github/workflows/w.yml",
	".claude/settings.json", ".mcp.json", ".cursor/mcp.json", ".codex/config.toml", ".gemini/settings.json", ".aider.conf.yml", ".npmrc", "packages/one/.npmrc",
	".pre-commit-config.yaml", ".husky/pre-commit", ".av.yaml",
}

func TestBoxCannotChangeWhatTheHostWouldExecute(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	other := workspace(t, map[string]string{"file": "x"}, ".")
	files := map[string]string{"free": "free", "nested/file": "x"}
	for _, name := range closedPaths {
		if !strings.Contains(name, ".git/") && !strings.HasSuffix(name, ".git") {
			files[name] = "mine\n"
		}
	}
	files[".av.yaml"] = "isolation: container\n" // which av itself reads
	dir := workspace(t, files, "nested", ".")
	gitIn(t, dir, "submodule", "--quiet", "add", other, "libs/sub")
	gitIn(t, dir, "worktree", "add", "-q", "trees/wt")
	gitIn(t, dir, "init", "-q", "--bare", "mirror.git")
	var script strings.Builder
	for _, name := range append([]string{"free"}, closedPaths...) {
		fmt.Fprintf(&script, `f=%q; t=$(stat -c %%Y "$f")
(echo evil >>"$f") 2>/dev/null && echo "wrote $f"
echo evil >/workspace/.evil; mv -f /workspace/.evil "$f" 2>/dev/null && echo "replaced $f"
rm -f "$f" 2>/dev/null && echo "removed $f"
`, name)
	}
	script.WriteString("for d in .git .git/hooks .git/modules .git/modules/libs .git/modules/libs/sub nested/.git mirror.git .vscode .github/workflows .husky; do mv $d $d-away 2>/dev/null && echo \"moved $d\"; done\n")
	script.WriteString("mount -o remount,rw /workspace/.vscode 2>/dev/null && echo remounted; umount /workspace/.vscode 2>/dev/null && echo unmounted; rm -f /workspace/.evil; exit 7\n")
	before, err := exec.Command("sh", "-c", "cd "+dir+" && find . -type f -not -name index -not -path './.evil' -not -path ./free | sort | xargs sha256sum").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := runIn(t, av, env, dir, script.String())
	if want := "wrote free\nreplaced free\nremoved free\n"; r.out != want || r.code != 7 {
		t.Errorf("in the box, exit code %d:\n%s\nwant only what is free\n%s", r.code, r.out, r.errs)
	}
	after, err := exec.Command("sh", "-c", "cd "+dir+" && find . -type f -not -name index -not -path './.evil' -not -path ./free | sort | xargs sha256sum").Output()
	if err != nil || string(after) != string(before) {
		t.Errorf("%v: the workspace was\n%s\nand is\n%s", err, before, after)
	}
	if strings.Contains(r.errs, "warning") {
		t.Errorf("it reports what did not happen:\n%s", r.errs)
	}
	// The control: an ordinary container may do all of it.
	got := control(t, dir, "echo x >free;"+script.String())
	for _, name := range closedPaths {
		for _, verb := range []string{"wrote", "replaced", "removed"} {
			if !strings.Contains(got, verb+" "+name+"\n") {
				t.Errorf("control: nobody %s %s:\n%s", verb, name, got)
			}
		}
	}
	if !strings.Contains(got, "moved .git\n") || !strings.Contains(got, "moved .vscode\n") {
		t.Errorf("control: %s", got)
	}
}

func TestWhatCameOutOfTheBoxIsTold(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	dir := workspace(t, map[string]string{"file": "x", ".github/workflows/w.yml": "mine"}, ".")
	const script = `echo x >.envrc; mkdir -p .vscode x; echo x >.vscode/tasks.json; echo x >x/settings.json; ln -s x .claude; echo x >.git/commondir.new; mv .git/commondir.new .git/commondir
mv .github old && mkdir -p .github/workflows && echo evil >.github/workflows/w.yml; echo x >conftest.py; echo x >Makefile; exit 3`
	r := runIn(t, av, env, dir, script)
	if r.code != 3 {
		t.Errorf("exit code %d: %s", r.code, r.errs)
	}
	for _, want := range []string{
		"av: warning: 5 files that your tools would execute were created: .claude, .claude -> x/settings.json, .envrc, .git/commondir, .vscode/tasks.json\n",
		"av: warning: 1 file that your tools would execute was changed: .github/workflows/w.yml\n",
	} {
		if !strings.Contains(r.errs, want) {
			t.Errorf("%q is not in\n%s", want, r.errs)
		}
	}
	if strings.Contains(r.errs, "Makefile") {
		t.Errorf("what is built is named to everybody:\n%s", r.errs)
	}
	strict := workspace(t, map[string]string{"file": "x"}, ".")
	r = runIn(t, av, env, strict, "echo x >.envrc; echo x >Makefile; exit 3", "--strict-workspace")
	if r.code != 125 || !strings.Contains(r.errs, "was created: .envrc") || !strings.Contains(r.errs, "was changed: Makefile") || !complaint.MatchString(r.errs) {
		t.Errorf("strict, exit code %d:\n%s", r.code, r.errs)
	}
	if r = runIn(t, av, env, workspace(t, nil, "."), "echo x >file; exit 3", "--strict-workspace"); r.code != 3 {
		t.Errorf("control: strict, and nothing of the kind: exit code %d:\n%s", r.code, r.errs)
	}
}

// Nobody tells it at the end of a run that is killed: whoever takes the run apart keeps it for
// the next who uses av, once.
func TestWhatCameOutOfTheBoxOfAKilledRunIsTold(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	ask := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(av, args...)
		cmd.Env, cmd.Dir = env, t.TempDir()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	byWatchdog := func(r running) string {
		r.kill(t)
		until(t, "nothing to be left of the killed run", time.Minute, func() bool { return leftOf(dir) == "" })
		return ask("ps")
	}
	byPrune := func(r running) string {
		r.killWatchdog(t)
		r.kill(t)
		return ask("prune")
	}
	for name, c := range map[string]struct {
		script, want string
		takeApart    func(running) (said string)
	}{
		"by its watchdog":      {"echo x >.envrc; echo ready; sleep 1000", "1 file that your tools would execute was created: %s/.envrc\n", byWatchdog},
		"by prune":             {"mv .github old; echo ready; sleep 1000", "1 file that your tools would execute was removed: %s/.github/workflows/w.yml\n", byPrune},
		"with nothing to tell": {"echo x >file; echo ready; sleep 1000", "", byWatchdog},
	} {
		folder := workspace(t, map[string]string{"file": "x", ".github/workflows/w.yml": "mine"}, ".")
		r := startIn(t, folder, av, env, c.script)
		if said := ask("ps"); strings.Contains(said, "would execute") {
			t.Errorf("%s: it is told while the run is alive: %s", name, said)
		}
		said := c.takeApart(r)
		if c.want != "" && !strings.Contains(said, " has ended: warning: "+fmt.Sprintf(c.want, folder)) || c.want == "" && strings.Contains(said, "would execute") {
			t.Errorf("%s: it says %s", name, said)
		}
		if again := ask("ps"); strings.Contains(again, "would execute") {
			t.Errorf("%s: it is told again: %s", name, again)
		}
	}
}

func TestStrictWorkspaceAsksAndRemovesWhatWasCreated(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	dir := workspace(t, map[string]string{"file": "x"}, ".")
	cmd := exec.Command(av, "run", "--isolation=container", "--strict-workspace", "--", "sh", "-c", "echo x >.envrc; echo x >kept")
	cmd.Env, cmd.Dir = env, dir
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer cmd.Process.Kill()
	var screen syncBuffer
	copied := make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(&screen, terminal) }()
	until(t, "the question", 3*time.Minute, func() bool { return strings.Contains(screen.String(), "came out of the box? [y/N]") })
	// The first line that is typed is the answer, and does not go to the command that has ended.
	if _, err := io.WriteString(terminal, "y\r"); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	<-copied
	if code := cmd.ProcessState.ExitCode(); code != 125 {
		t.Errorf("exit code %d: %s", code, screen.String())
	}
	for name, there := range map[string]bool{".envrc": false, "kept": true, "file": true} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v\n%s", name, err, screen.String())
		}
	}
}

func TestGitWorksInALinkedWorktreeAndItsRepositoryIsClosed(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	repo := workspace(t, map[string]string{"file": "x"}, ".")
	tree := filepath.Join(filepath.Dir(repo), "tree")
	gitIn(t, repo, "worktree", "add", "-q", tree)
	gitIn(t, repo, "worktree", "add", "-q", filepath.Join(filepath.Dir(repo), "second"))
	common := filepath.Join(repo, ".git")
	r := runIn(t, av, env, tree, `echo y >new; git add new; git -c user.name=a -c user.email=a@a commit -qm from-the-box && echo committed
for f in config hooks/pre-commit.sample worktrees/second/HEAD worktrees/tree/commondir; do (echo evil >>`+common+`/$f) 2>/dev/null && echo "wrote $f"; done
git worktree prune --expire now; ls `+repo+`/file 2>/dev/null; true`)
	if r.out != "committed\n" || r.code != 0 || !strings.Contains(r.errs, "this is a worktree") {
		t.Errorf("exit code %d:\n%s%s", r.code, r.out, r.errs)
	}
	if log := gitIn(t, repo, "log", "--all", "--format=%s"); !strings.Contains(log, "from-the-box") {
		t.Errorf("the commit is not in the repository: %s", log)
	}
	if list := gitIn(t, repo, "worktree", "list"); !strings.Contains(list, "second") || !strings.Contains(list, tree) {
		t.Errorf("a worktree was cleared away: %s", list)
	}
	// What the file names is believed only if it names the worktree back.
	secret := filepath.Join(filepath.Dir(repo), "secret")
	putFiles(t, secret, map[string]string{"key": "secret"})
	putFiles(t, tree, map[string]string{".git": "gitdir: " + secret + "\n"})
	r = runIn(t, av, env, tree, "cat "+secret+"/key 2>/dev/null; true")
	if r.out != "" || !strings.Contains(r.errs, "git will not work in the box") {
		t.Errorf("%s%s", r.out, r.errs)
	}
}

func TestReadOnlyWorkspaceAndMountsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	dir := workspace(t, map[string]string{"file": "x"}, ".")
	side := filepath.Join(filepath.Dir(dir), "side")
	putFiles(t, side, map[string]string{"data/a": "from-data\n", "one": "from-one\n", "closed/a": "from-closed\n"})
	const script = `cat /data/a /one /closed/a; for f in /workspace/new /workspace/file /workspace/.git/x /closed/new /one; do (echo x >$f) 2>/dev/null && echo "wrote $f"; done; echo x >/data/new && echo "wrote /data/new"`
	flags := []string{"--mount", "../side/data:/data", "--mount", side + "/one:/one:ro", "--mount", side + "/closed:/closed:ro"}
	r := runIn(t, av, env, dir, script, append(flags, "--workspace", "ro")...)
	if want := "from-data\nfrom-one\nfrom-closed\nwrote /data/new\n"; r.out != want || r.code != 0 {
		t.Errorf("exit code %d: %q\n%s", r.code, r.out, r.errs)
	}
	r = runIn(t, av, env, dir, script, flags...)
	if want := "from-data\nfrom-one\nfrom-closed\nwrote /workspace/new\nwrote /workspace/file\nwrote /workspace/.git/x\nwrote /data/new\n"; r.out != want || r.code != 0 {
		t.Errorf("control: exit code %d: %q\n%s", r.code, r.out, r.errs)
	}
}

// The engine looks a path up again when it mounts it. Here it is swapped in between: while av
// waits for the master password, after it has looked at the mount.
func TestMountThatIsSwappedAfterItWasLookedAtDoesNotRun(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	dir := workspace(t, nil)
	base := filepath.Dir(dir)
	putFiles(t, base, map[string]string{"data/key": "harmless", "secret/key": "the-secret"})
	pipe := filepath.Join(base, "password")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	sealed := append(env, "AV_HOME="+filepath.Join(base, "sealed"))
	init := exec.Command(av, "init")
	init.Env = append(sealed, passwordVariable+"=a master password")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(swap func()) outcome {
		t.Helper()
		cmd := exec.Command(av, "run", "--isolation=container", "--password-file", pipe, "--mount", filepath.Join(base, "data")+":/data:ro", "--", "cat", "/data/key")
		cmd.Env, cmd.Dir = sealed, dir
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var f *os.File
		until(t, "av to ask for the password", time.Minute, func() (opened bool) {
			var err error
			f, err = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			return err == nil
		})
		swap()
		if _, err := io.WriteString(f, "a master password\n"); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		_ = cmd.Wait()
		return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	}
	if r := run(func() {}); r.out != "harmless" || r.code != 0 {
		t.Fatalf("control: exit code %d: %q %s", r.code, r.out, r.errs)
	}
	r := run(func() {
		if err := os.Rename(filepath.Join(base, "data"), filepath.Join(base, "away")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("secret", filepath.Join(base, "data")); err != nil {
			t.Fatal(err)
		}
	})
	if r.out != "" || r.code != 125 || !strings.Contains(r.errs, "is not what was looked at when the run began") {
		t.Errorf("exit code %d: %q\n%s", r.code, r.out, r.errs)
	}
	// The control: the engine does follow it.
	if out, err := exec.Command("docker", "run", "--rm", "--network", "none", "-v", filepath.Join(base, "data")+":/data:ro", require.Image, "cat", "/data/key").CombinedOutput(); string(out) != "the-secret" {
		t.Errorf("control: %v: %s", err, out)
	}
}

func TestLinkThatAnAgentLeftDoesNotLeadTheNextRunOut(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	dir := workspace(t, map[string]string{"file": "x"}, ".")
	base := filepath.Dir(dir)
	putFiles(t, base, map[string]string{"user/.ssh/id": "the-key", "outside/mcp.json": "the-secret"})
	for name, target := range map[string]string{"keys": filepath.Join(base, "user/.ssh"), ".cursor": filepath.Join(base, "outside"), "data": filepath.Join(base, "outside")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	env = append(env, "HOME="+filepath.Join(base, "user"))
	// A protected path that is a link: the engine would mount what it leads to.
	if r := runIn(t, av, env, dir, "cat .cursor/mcp.json 2>/dev/null || echo nothing"); r.out != "nothing\n" {
		t.Errorf("%q %s", r.out, r.errs)
	}
	for what, r := range map[string]outcome{
		"the link as a workspace":        runIn(t, av, append(env, "PWD="+filepath.Join(dir, "keys")), filepath.Join(dir, "keys"), "cat id"),
		"what it leads to":               runIn(t, av, env, filepath.Join(base, "user/.ssh"), "cat id"),
		"the folder above":               runIn(t, av, env, filepath.Join(base, "user"), "cat .ssh/id"),
		"a mount through a link":         runIn(t, av, env, dir, "cat /data/mcp.json", "--mount", "data:/data"),
		"a mount of the link to the key": runIn(t, av, env, dir, "cat /data/id", "--mount", "./keys:/data"),
	} {
		if r.code != 125 || r.out != "" || !complaint.MatchString(r.errs) {
			t.Errorf("%s: exit code %d: %q\n%s", what, r.code, r.out, r.errs)
		}
	}
	if out, err := exec.Command("docker", "run", "--rm", "--network", "none", "-v", filepath.Join(dir, ".cursor")+":/x:ro", require.Image, "cat", "/x/mcp.json").CombinedOutput(); string(out) != "the-secret" {
		t.Errorf("control: %v: %s", err, out)
	}
}

func TestAgentWorksOnACopyUntilItIsApplied(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	ws := workspace(t, map[string]string{"edit": "one\n", "gone": "x", "old/in": "x", ".vscode/tasks.json": "mine", "theirs": "x"}, ".")
	const script = `echo two >>edit; rm -r gone old; mkdir new; printf 'a\0b' >new/bin; chmod 711 new/bin; ln -s edit link; printf 'esc \033]52;c;x\007\n' >esc
git config a.b c && git -c user.name=a -c user.email=a@a commit -qam work && echo committed; exit 3`
	r := runIn(t, av, env, ws, script, "--workspace", "copy")
	if r.code != 3 || r.out != "committed\n" {
		t.Fatalf("exit code %d: %q %s", r.code, r.out, r.errs)
	}
	if content, err := os.ReadFile(filepath.Join(ws, "edit")); err != nil || string(content) != "one\n" {
		t.Errorf("the workspace was changed: %q, %v", content, err)
	}
	copies, err := os.ReadDir(filepath.Join(dir, "workspaces"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("%v, %v", copies, err)
	}
	run := copies[0].Name()
	if !strings.Contains(r.errs, "av apply "+run) {
		t.Errorf("it does not say how to go on:\n%s", r.errs)
	}
	call := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.Command(av, args...)
		cmd.Env = env
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, _ := call("prune"); strings.Contains(out, run) {
		t.Errorf("prune took the copy: %s", out)
	}
	if out, _ := call("diff"); !strings.Contains(out, run) || !strings.Contains(out, ws) {
		t.Errorf("it is not listed: %s", out)
	}
	if out, code := call("diff", run[:5]); code != 0 || !strings.Contains(out, "+two\n") || !strings.Contains(out, "esc \x1b]52") {
		t.Errorf("exit code %d: %q", code, out)
	}
	putFiles(t, ws, map[string]string{"edit": "mine\n"})
	if out, code := call("apply", run); code != 125 || !strings.Contains(out, "changed in your folder too since it was copied, so nothing was applied: edit") {
		t.Errorf("a conflict: exit code %d: %s", code, out)
	}
	putFiles(t, ws, map[string]string{"edit": "one\n", "theirs": "changed by me"})
	if out, code := call("apply", run); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	state, err := exec.Command("sh", "-c", "cd "+ws+" && cat edit theirs && readlink link && stat -c %a new/bin && ls").CombinedOutput()
	if want := "one\ntwo\nchanged by meedit\n711\nedit\nesc\nlink\nnew\ntheirs\n"; err != nil || string(state) != want {
		t.Errorf("%v: %q", err, state)
	}
	if out, code := call("discard", run); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	if r := runIn(t, av, env, ws, "cat edit", "--workspace", "copy"); !strings.Contains(r.errs, "nothing was changed in the copy") {
		t.Errorf("%s", r.errs)
	}
	if copies, err := os.ReadDir(filepath.Join(dir, "workspaces")); err != nil || len(copies) != 0 {
		t.Errorf("%v, %v", copies, err)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
