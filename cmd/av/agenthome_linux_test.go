package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

// probe is an agent of the user's own: a shell, in an image that has nothing else.
const probe = `name: probe
title: Probe
commands: [sh]
env: {PROBE: "set", OTHER: "set"}
files:
  - {path: .probe/deep/answer, content: "forty-two"}
`

// What is put into HOME is there before the command starts, is its own, and is gone with
// the run, by whatever end it comes to.
func TestHomeOfAnAgentIsFilledBeforeItStartsAndGoesWithItsRun(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	if err := os.Mkdir(filepath.Join(dir, "agents"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "agents", "probe.yaml"), []byte(probe), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `cat ~/.probe/deep/answer; echo " $PROBE $OTHER"; stat -c '%a %u %n' ~ ~/.probe ~/.probe/deep ~/.probe/deep/answer
		echo changed >~/.probe/deep/answer && mv ~/.probe ~/moved && echo writable; stat -f -c %T ~; echo ready; cat`
	r := begin(t, av, env, "run", "--isolation=container", "--image", require.Image, "--env", "OTHER=mine", "--", "sh", "-c", script)
	until(t, "the box", 3*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready") })
	for _, want := range []string{"forty-two set mine\n", "700 0 /home/agent\n", "700 0 /home/agent/.probe\n", "700 0 /home/agent/.probe/deep\n", "600 0 /home/agent/.probe/deep/answer\n", "writable\n", "tmpfs\n"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, r.out)
		}
	}
	r.kill(t)
	until(t, "nothing to be left", time.Minute, func() bool { return leftOf(dir) == "" })
	// As somebody else, whose folder the workspace is; and the agent switched off.
	const uid = 4321
	project := t.TempDir()
	if err := os.Chown(project, uid, uid); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ agent, want string }{{"probe", "600 4321\n4321\n"}, {"generic", "4321\n"}} {
		cmd := exec.Command(av, "run", "--quiet", "--isolation=container", "--image", require.Image, "--agent", c.agent, "--", "sh", "-c", "stat -c '%a %u' ~/.probe/deep/answer; stat -c %u ~")
		cmd.Env, cmd.Dir = env, project
		out, err := cmd.Output()
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %v, %q", c.agent, err, out)
		}
	}
}
