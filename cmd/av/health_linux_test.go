package main

import (
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

// An image may bring a command that an engine runs in every container of it, from its start
// on: before the walls are proved.
func TestImagesOwnHealthCheckIsNotRun(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	from := docker(t, "create", require.Image)
	image := docker(t, "commit", "--change", "HEALTHCHECK --interval=1s CMD echo checked >/workspace/checked", from)
	docker(t, "rm", from)
	t.Cleanup(func() { docker(t, "rmi", image) })

	const health = "{{if .State.Health}}checked{{end}}"
	control := docker(t, "run", "-d", "--network", "none", image, "sleep", "1000")
	checked := docker(t, "inspect", "-f", health, control)
	docker(t, "rm", "-f", control)
	if checked != "checked" {
		t.Fatal("the control: an ordinary container of the image has no check")
	}

	r := begin(t, av, env, "run", "--isolation=container", "--image", image, "--", "sh", "-c", "echo ready; cat")
	until(t, "the box", 3*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready") })
	live := alive(t, av, env)
	if len(live) != 1 {
		t.Fatalf("alive: %v", live)
	}
	if got := docker(t, "inspect", "-f", health, "av-"+live[0].Run+"-agent"); got != "" {
		t.Error("the image's check is run in the box")
	}
	r.kill(t)
	until(t, "nothing to be left", time.Minute, func() bool { return leftOf(dir) == "" })
}
