package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

// An image may bring a command that an engine runs in every container of it, from its start
// on: before the walls are proved.
func TestImagesOwnHealthCheckIsNotRun(t *testing.T) {
	dir, env, av := home(t)
	docker := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("docker", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	from := docker("create", require.Image)
	image := docker("commit", "--change", "HEALTHCHECK --interval=1s CMD echo checked >/workspace/checked", from)
	docker("rm", from)
	t.Cleanup(func() { docker("rmi", image) })

	const health = "{{if .State.Health}}checked{{end}}"
	control := docker("run", "-d", "--network", "none", image, "sleep", "1000")
	checked := docker("inspect", "-f", health, control)
	docker("rm", "-f", control)
	if checked != "checked" {
		t.Fatal("the control: an ordinary container of the image has no check")
	}

	r := begin(t, av, env, "run", "--isolation=container", "--image", image, "--", "sh", "-c", "echo ready; cat")
	until(t, "the box", 3*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready") })
	live := alive(t, av, env)
	if len(live) != 1 {
		t.Fatalf("alive: %v", live)
	}
	if got := docker("inspect", "-f", health, "av-"+live[0].Run+"-agent"); got != "" {
		t.Error("the image's check is run in the box")
	}
	r.kill(t)
	until(t, "nothing to be left", time.Minute, func() bool { return leftOf(dir) == "" })
}
