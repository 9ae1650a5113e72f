package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/av-project/av/scripts/require"
)

// An image is anybody's. A runtime follows its links when it mounts, as root, and makes a place
// for what it mounts: behind such a link that would be in the user's own folder, under a name
// that the image has chosen.
func TestImageCannotHaveTheUsersFilesWrittenTo(t *testing.T) {
	_, env, av := home(t)
	group := newMarker()
	image := func(name string, files map[string]string) string {
		t.Helper()
		files["usr/lib/ssl/cert.pem"], files["usr/share/ssl/cert.pem"] = "->cert.pem", "->/usr/lib/ssl/cert.pem/x" // round in circles
		tag := "av-test-hostile:" + group + "-" + name
		dockerfile := "FROM " + require.Image + "\nADD root.tar /\nENV SSL_CERT_FILE=/x/sub/Makefile\n"
		buildImage(t, "av-test-hostile", tag, tarOf(t, map[string]string{"Dockerfile": dockerfile, "root.tar": string(tarOf(t, files))}))
		t.Cleanup(func() { docker(t, "image", "rm", tag) })
		return tag
	}
	const evil = "all:; evil # -----BEGIN \n"
	run := func(image string, flags ...string) (left, out string, err error) {
		t.Helper()
		cmd := exec.Command(av, append(append([]string{"run", "--isolation=container", "--image", image}, flags...), "--", "cat", "/x/sub/Makefile")...)
		cmd.Env, cmd.Dir = env, t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(cmd.Dir, "mine"), []byte("mine"), 0o644), os.Chown(cmd.Dir, 1000, 1000)); err != nil {
			t.Fatal(err)
		}
		text, err := cmd.CombinedOutput()
		return leftIn(t, cmd.Dir), string(text), err
	}
	left, out, err := run(image("workspace", map[string]string{"workspace": "->/x", "x/sub/Makefile": evil}))
	if left != "mine" {
		t.Errorf("in the workspace is %q", left)
	}
	if err == nil || !strings.Contains(out, "av: error: the image has a link on the way to /workspace") || !strings.Contains(out, "av: hint: ") {
		t.Errorf("%v: %s", err, out)
	}
	data := t.TempDir()
	led := image("mount", map[string]string{"opt/data": "->/x", "x/sub/Makefile": evil})
	// Twice: the second time what the image trusts is known already. Control: without the
	// mount it runs, and what was put there is what would have been written.
	for _, flags := range [][]string{{"--mount", data + ":/opt/data"}, nil, {"--mount", data + ":/opt/data"}} {
		_, out, err := run(led, flags...)
		if flags == nil && (err != nil || !strings.Contains(out, evil+"-----BEGIN CERTIFICATE-----")) || flags != nil && (err == nil || !strings.Contains(out, "on the way to /opt/data")) {
			t.Errorf("with %q: %v: %s", flags, err, out)
		}
		if left := leftIn(t, data); left != "" {
			t.Errorf("in what is mounted is %q", left)
		}
	}
}

func leftIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
