package main

import (
	"fmt"
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
