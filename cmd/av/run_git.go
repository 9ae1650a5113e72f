package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// forges are hosts whose remotes people write with ssh.
var forges = []string{"github.com", "gitlab.com", "bitbucket.org", "codeberg.org"}

// maxGitHosts is for how many hosts the box's git is told to take https for ssh.
const maxGitHosts = 64

// gitHosts gives the hosts whose ssh remotes are taken as https: the forges that everybody
// knows, then those that the run may reach by https.
func gitHosts(services []policy.Service, allow []policy.Target) []string {
	hosts := slices.Clone(forges)
	add := func(host string) {
		if host != "" && !strings.ContainsAny(host, "*:/ []") && strings.Contains(host, ".") && !slices.Contains(hosts, host) && len(hosts) < maxGitHosts {
			hosts = append(hosts, host)
		}
	}
	for _, t := range allow {
		if t.Port == 443 {
			add(t.Host)
		}
	}
	for _, s := range services {
		if s.Port == 0 || s.Port == 443 {
			add(s.Host)
		}
	}
	return hosts
}

// git is what the box's git is told of the hosts of this run, and of its user.
func (e *env) git(ctx context.Context, v *vault.Vault, grant vault.Grant, workspace string) (runner.Git, error) {
	services, err := v.Services(ctx, vault.Owner())
	if err != nil {
		return runner.Git{}, err
	}
	g := runner.Git{Hosts: gitHosts(services, grant.Allow)}
	g.Name, g.Email = gitIdentity(ctx, workspace)
	return g, nil
}

// gitIdentity asks the host's git whose the commits are, outside of any repository: a
// repository's own settings go with it into the box. A git that lies in the workspace is
// not asked: an agent may have put it there, for a PATH that leads there.
func gitIdentity(ctx context.Context, workspace string) (name, email string) {
	program, err := exec.LookPath("git")
	if err != nil {
		return "", ""
	}
	real, err := filepath.EvalSymlinks(program)
	if here, failed := filepath.EvalSymlinks(workspace); failed == nil {
		workspace = here // it may have been come to by a link
	}
	if rel, failed := filepath.Rel(workspace, real); err != nil || failed != nil || filepath.IsLocal(rel) {
		return "", ""
	}
	cmd := exec.CommandContext(ctx, real, "config", "--global", "--includes", "--null", "--get-regexp", `^user\.(name|email)$`)
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return "", "" // none is set
	}
	for setting := range strings.SplitSeq(string(out), "\x00") {
		switch key, value, _ := strings.Cut(setting, "\n"); key {
		case "user.name":
			name = value
		case "user.email":
			email = value
		}
	}
	return name, email
}
