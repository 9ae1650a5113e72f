package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func TestGitIsToldOfSoManyHosts(t *testing.T) {
	services := []policy.Service{{Host: "*.wild.test"}, {Host: "git.one.test"}, {Host: "odd.port.test", Port: 8443}, {Host: "git.one.test"}}
	allow := []policy.Target{{Host: "allowed.test", Port: 443}, {Host: "plain.test", Port: 80}, {Host: "localhost", Port: 443}}
	if got, want := gitHosts(services, allow), append(slices.Clone(forges), "allowed.test", "git.one.test"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range 2 * maxGitHosts {
		services = append(services, policy.Service{Host: fmt.Sprintf("h%d.test", i)})
	}
	if got := len(gitHosts(services, nil)); got != maxGitHosts {
		t.Errorf("%d hosts", got)
	}
}

// A program that lies in the workspace is the agent's, by whatever path one came there.
func TestGitThatLiesInTheWorkspaceIsNotRun(t *testing.T) {
	base := t.TempDir()
	ran := filepath.Join(base, "ran")
	putFiles(t, base, map[string]string{"project/bin/git": "#!/bin/sh\ntouch " + ran + "\n"})
	if err := errors.Join(os.Chmod(base+"/project/bin/git", 0o755), os.Symlink("project", base+"/link")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", base+"/project/bin:"+os.Getenv("PATH"))
	for _, workspace := range []string{"project", "link"} {
		gitIdentity(t.Context(), filepath.Join(base, workspace))
		if _, err := os.Lstat(ran); err == nil {
			t.Fatalf("in %s it was run", workspace)
		}
	}
	// The control: from another folder it is.
	gitIdentity(t.Context(), t.TempDir())
	if _, err := os.Lstat(ran); err != nil {
		t.Errorf("control: %v", err)
	}
}
