package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/require"
)

// kept lists the homes that an av home has kept, and removes them at the end of the test.
func kept(t *testing.T, av string, env []string) (homes []netiso.KeptHome) {
	t.Helper()
	list := exec.Command(av, "home", "list", "--json")
	list.Env = env
	out, err := list.Output()
	if err == nil {
		err = json.Unmarshal(out, &homes)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return homes
}

func TestKeptHomeIsOneRunsAtATimeAndStaysUntilItIsRemoved(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	folder := t.TempDir()
	if err := os.Chown(folder, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		remove := exec.Command(av, "home", "remove", "--all")
		remove.Env = env
		if out, err := remove.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	in := func(dir string, args ...string) (string, error) {
		cmd := exec.Command(av, args...)
		cmd.Env, cmd.Dir = env, dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	run := func(dir, script string) (string, error) {
		return in(dir, "run", "--isolation=container", "--home=persist", "--", "sh", "-c", script)
	}
	if out, err := run(folder, "echo remembered >~/.state && stat -c '%u %a' ~"); err != nil || !strings.Contains(out, "1000 700\n") {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(folder, "cat ~/.state"); err != nil || !strings.Contains(out, "remembered\n") {
		t.Errorf("the next run: %v: %s", err, out)
	}
	// Another folder, another command and memory know nothing of it.
	for what, args := range map[string][]string{
		"another command": {"run", "--isolation=container", "--home=persist", "--", "ls", "-A", "/home/agent"},
		"memory":          {"run", "--isolation=container", "--", "sh", "-c", "ls -A ~"},
	} {
		if out, err := in(folder, args...); err != nil || strings.Contains(out, ".state") {
			t.Errorf("%s: %v: %s", what, err, out)
		}
	}
	if out, err := run(t.TempDir(), "ls -A ~"); err != nil || strings.Contains(out, ".state") {
		t.Errorf("another folder: %v: %s", err, out)
	}

	r := running{cmd: exec.Command(av, "run", "--isolation=container", "--home=persist", "--", "sh", "-c", "echo ready; read line"), out: &syncBuffer{}}
	r.cmd.Env, r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = env, folder, r.out, r.out
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	until(t, "the box", 3*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready") })
	out, err := run(folder, "true")
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailed || !strings.Contains(out, "is in use by another run\nav: hint: ") {
		t.Errorf("a second run: %v: %s", err, out)
	}
	used := slices.DeleteFunc(kept(t, av, env), func(h netiso.KeptHome) bool { return !h.InUse })
	if len(used) != 1 || used[0].Folder != folder || used[0].Agent != "sh" {
		t.Fatalf("in use are %+v", used)
	}
	if out, err := in(folder, "home", "remove", used[0].Name); err == nil || !strings.Contains(out, "in use") {
		t.Errorf("removed while in use: %v: %s", err, out)
	}
	// Its run dies, and is pruned: the home stays.
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	until(t, "the watchdog", time.Minute, func() bool { return leftOf(filepath.Join(envHome(env))) == "" })
	if out, err := in(folder, "prune"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(folder, "cat ~/.state"); err != nil || !strings.Contains(out, "remembered\n") {
		t.Errorf("after prune: %v: %s", err, out)
	}
	before := len(kept(t, av, env))
	if out, err := in(folder, "home", "remove", used[0].Name); err != nil || out != "removed "+used[0].Name+"\n" {
		t.Errorf("%v: %s", err, out)
	}
	if after := len(kept(t, av, env)); before != 3 || after != 2 {
		t.Errorf("%d homes, then %d", before, after)
	}
}

// What an agent leaves in a kept home leads no hand but its own anywhere: the files that a
// run begins with are put there by its own user, in its own box.
func TestKeptHomeThatAnAgentHasFilledWithLinksLeadsNowhere(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	if err := os.Mkdir(filepath.Join(dir, "agents"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "agents", "probe.yaml"), []byte(probe), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := errors.Join(os.Chown(folder, 1000, 1000), os.Mkdir(filepath.Join(folder, "mine"), 0o755), os.Chown(filepath.Join(folder, "mine"), 1000, 1000)); err != nil {
		t.Fatal(err)
	}
	run := func(script string) (string, int) {
		cmd := exec.Command(av, "run", "--isolation=container", "--image", require.Image, "--home=persist", "--", "sh", "-c", script)
		cmd.Env, cmd.Dir = env, folder
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	t.Cleanup(func() {
		remove := exec.Command(av, "home", "remove", "--all")
		remove.Env = env
		if out, err := remove.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	link := func(to string) string {
		return "find ~ -mindepth 1 -delete; ln -s " + to + " ~/.probe"
	}
	// Each run leaves the link that the next one meets.
	if out, code := run("cat ~/.probe/deep/answer; " + link("/etc")); code != 0 || !strings.Contains(out, "forty-two") {
		t.Fatalf("the first run: %d: %s", code, out)
	}
	if out, code := run("echo started"); code != exitFailed || strings.Contains(out, "started\n") || !strings.Contains(out, "av: error: .probe/deep cannot be put into /home/agent") || !strings.Contains(out, "av home remove") {
		t.Errorf("a link to what only root may write to: %d: %s", code, out)
	}
	remove := exec.Command(av, "home", "remove", "--all")
	remove.Env = env
	if out, err := remove.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Control: where the agent may write, the link is followed, with its own rights.
	if out, code := run(link("/workspace/mine")); code != 0 {
		t.Fatalf("%d: %s", code, out)
	}
	if out, code := run("cat ~/.probe/deep/answer"); code != 0 || !strings.Contains(out, "forty-two") {
		t.Errorf("a link to its own folder: %d: %s", code, out)
	}
	i, err := os.Stat(filepath.Join(folder, "mine", "deep", "answer"))
	if err != nil || i.Sys().(*syscall.Stat_t).Uid != 1000 {
		t.Errorf("what was put behind it is not the agent's: %v, %v", i, err)
	}
}

// envHome is the AV_HOME of an environment.
func envHome(env []string) string {
	dir := ""
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "AV_HOME="); ok {
			dir = value
		}
	}
	return dir
}

// What is shared is what the page lists: conversations to write, instructions to read, and
// neither the login nor what the host's agent runs.
func TestSharedHomeHoldsWhatIsListedAndNoLogin(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	user, folder := t.TempDir(), t.TempDir()
	if err := os.Chown(folder, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		".claude/projects/one/talk.jsonl": "a talk\n", ".claude/.credentials.json": "login\n", ".claude/settings.json": "hooks\n", ".claude/CLAUDE.md": "be kind\n", ".ssh/id": "key\n",
	} {
		path = filepath.Join(user, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "-R", "1000:1000", filepath.Join(user, ".claude")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// A program by the agent's name, which shows what it finds.
	program := filepath.Join(folder, "claude")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncd ~; find . -type f | sort; echo new >.claude/projects/new; echo own >.claude/own; echo no >>.claude/CLAUDE.md\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(av, "run", "--quiet", "--isolation=container", "--home=share", "--agent", "claude", "--image", require.Image, "--", "./claude")
	cmd.Env, cmd.Dir = append(env, "HOME="+user), folder
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, _ := cmd.Output() // its last line fails, as it should
	if string(out) != "./.claude.json\n./.claude/CLAUDE.md\n./.claude/projects/one/talk.jsonl\n" || !strings.Contains(errs.String(), "Read-only") {
		t.Errorf("the box has\n%s%s", out, &errs)
	}
	if _, err := os.Stat(filepath.Join(user, ".claude/projects/new")); err != nil {
		t.Errorf("control: what is shared to be written was not: %v", err)
	}
	if _, err := os.Stat(filepath.Join(user, ".claude/own")); err == nil {
		t.Error("the box wrote beside what is shared")
	}
	if text, _ := os.ReadFile(filepath.Join(user, ".claude/CLAUDE.md")); string(text) != "be kind\n" {
		t.Errorf("it was written to: %s", text)
	}
	// A program of the workspace gets nothing for its name.
	cmd = exec.Command(av, "run", "--isolation=container", "--home=share", "--", "/workspace/claude")
	cmd.Env, cmd.Dir = append(env, "HOME="+user), folder
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "nothing of yours is shared with it") {
		t.Errorf("%v: %s", err, out)
	}
	// The folder that is shared leads elsewhere: an agent may have seen to that.
	if err := os.Rename(filepath.Join(user, ".claude/projects"), filepath.Join(user, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(user, ".ssh"), filepath.Join(user, ".claude/projects")); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(av, "run", "--quiet", "--isolation=container", "--home=share", "--agent", "claude", "--image", require.Image, "--", "./claude")
	cmd.Env, cmd.Dir = append(env, "HOME="+user), folder
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "is a link, or lies behind one") {
		t.Errorf("%v: %s", err, out)
	}
}
