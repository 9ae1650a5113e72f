package main

import (
	"os/exec"
	"strings"
	"testing"
)

// baseImage gives the id of av's base image, for controls.
func baseImage(t testing.TB, env []string, av string) string {
	t.Helper()
	first := exec.Command(av, "run", "--isolation=container", "--", "true")
	first.Env, first.Dir = env, t.TempDir()
	if out, err := first.CombinedOutput(); err != nil {
		t.Fatalf("av run: %v: %s", err, out)
	}
	out, err := exec.Command("docker", "image", "ls", "-q", "--filter", "label=av.image=av-base").Output()
	id, _, _ := strings.Cut(string(out), "\n")
	if err != nil || id == "" {
		t.Fatalf("find the base image: %v: %q", err, out)
	}
	return id
}
