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
	t.Parallel()
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
	if err == nil || !strings.Contains(out, "av: error: in the image there is a link on the way to /workspace,") || !strings.Contains(out, "av: hint: ") {
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

// By a volume of its own, or by what it says that it trusts, an image can lay something over
// what the first program in the box is, or over the pipe on which that waits for the walls.
func TestImagesOwnProgramIsNotTheFirstInTheBox(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	group := newMarker()
	run := func(name, script, rest string) (out string, code int) {
		t.Helper()
		tag := "av-test-hostile:" + group + "-" + name
		buildImage(t, "av-test-hostile", tag, tarOf(t, map[string]string{"Dockerfile": "FROM " + require.Image + "\nRUN " + script + "\n" + rest + "\n"}))
		t.Cleanup(func() { docker(t, "image", "rm", tag) })
		cmd := exec.Command(av, "run", "--isolation=container", "--image", tag, "--", "sh", "-c", "echo the command; test -p /etc/av/word || echo no pipe")
		cmd.Env, cmd.Dir = env, t.TempDir()
		text, _ := cmd.CombinedOutput()
		return string(text), cmd.ProcessState.ExitCode()
	}
	const program = `mkdir -p /a/b/c/d /etc/av && ln -s /etc/av /a/b/c/d/e && printf '#!/bin/sh\necho the images own\n' >/etc/av/enter && chmod 755 /etc/av/enter`
	const word = `mkdir -p /a/b/c/d/av && echo '-----BEGIN ' >/a/b/c/d/av/word && ln -s /a/b/c/d/av /etc/av`
	for name, c := range map[string]struct {
		script, rest, refused string
	}{
		"program": {program, "VOLUME /a/b/c/d/e", "there is a file /etc/av/enter, where av's own is put"},
		"word":    {word, "ENV SSL_CERT_FILE=/a/b/c/d/av/word", "in the image there is a link on the way to /etc/av/"},
		"control": {"mkdir -p /a/b/c/d/e && echo '-----BEGIN ' >/a/b/c/d/word", "VOLUME /a/b/c/d/e\nENV SSL_CERT_FILE=/a/b/c/d/word", ""},
	} {
		out, code := run(name, c.script, c.rest)
		if c.refused != "" && (code != exitFailed || !strings.Contains(out, c.refused) || strings.Contains(out, "the images own") || strings.Contains(out, "the command\n")) {
			t.Errorf("%s: %d: %s", name, code, out)
		}
		if c.refused == "" && (code != 0 || !strings.Contains(out, "the command\n") || strings.Contains(out, "no pipe")) {
			t.Errorf("%s: %d: %s", name, code, out)
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
