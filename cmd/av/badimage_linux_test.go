package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/av-project/av/scripts/require"
)

// An engine makes a file wherever it mounts one, as root of the host.
func TestImagesLinksLeadAvsFilesIntoNoFolderOfTheHost(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	group := newMarker()
	for n, c := range []struct {
		name, script string
		refused      bool
	}{
		{"a folder of the workspace", "ln -s /workspace/planted /etc/av", true},
		{"a file of the workspace, by another link", "ln -s /workspace/planted /opt/x && ln -sf /opt/x /etc/group", true},
		{"a file of HOME", "ln -s ../home/agent/.bashrc /etc/gitconfig", true},
		{"the control: a file of the image", "mkdir /opt/av && : >/opt/av/x && ln -s /opt/av/x /etc/gitconfig", false},
	} {
		image := fmt.Sprintf("av-test-hostile:%s-%d", group, n)
		buildImage(t, "av-test-hostile", image, tarOf(t, map[string]string{"Dockerfile": "FROM " + require.Image + "\nRUN " + c.script + "\n"}))
		t.Cleanup(func() { docker(t, "image", "rm", image) })
		cmd := exec.Command(av, "run", "--isolation=container", "--image", image, "--", "echo", "started")
		cmd.Env, cmd.Dir = env, t.TempDir()
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); c.refused && (code != exitFailed || !strings.Contains(string(out), "av: error: in the image ") || !strings.Contains(string(out), "\nav: hint: ")) ||
			!c.refused && (code != 0 || !strings.Contains(string(out), "started\n")) {
			t.Errorf("%s: %d: %s", c.name, code, out)
		}
		if made, err := os.ReadDir(cmd.Dir); err != nil || len(made) > 0 {
			t.Errorf("%s: in the workspace there is %v, %v", c.name, made, err)
		}
	}
}
