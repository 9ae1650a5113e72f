package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
)

func TestPsShowsARunFromItsStartToItsEnd(t *testing.T) {
	dir, env, av := home(t)
	env = withRelay(env, "bridge")
	warm(t, av, env)
	if live := alive(t, av, env); len(live) != 0 {
		t.Fatalf("before: %v", live)
	}
	// All turns are ours: the run has to wait, and is seen to start.
	var turns []func()
	for full := false; !full; {
		ctx, cancel := context.WithCancel(t.Context())
		done, err := netiso.AwaitTurn(ctx, dir, cancel) // given up once it has to wait
		if full = err != nil; !full {
			turns = append(turns, done)
		}
		cancel()
	}
	o := startOne(t, av, env, "read line; echo $line # a-secret-argument")
	var live []netiso.Note
	until(t, "the run to start", time.Minute, func() bool { live = alive(t, av, env); return len(live) == 1 && live[0].Command != "" })
	if live[0].State != netiso.Starting || live[0].Subnet != "" {
		t.Errorf("while it waits for its turn: %+v", live[0])
	}
	for _, done := range turns {
		done()
	}
	until(t, "the run to run", 2*time.Minute, func() bool { live = alive(t, av, env); return live[0].State == netiso.Running })
	n := live[0]
	if n.Command != "sh" || n.Isolation != "container" || !strings.HasPrefix(n.Image, "av-base") || n.Folder != o.cmd.Dir ||
		time.Since(n.Began) < 0 || time.Since(n.Began) > 10*time.Minute {
		t.Errorf("while it runs: %+v", n)
	}
	subnet, err := exec.Command("docker", "network", "inspect", n.Network, "--format", "{{(index .IPAM.Config 0).Subnet}}").CombinedOutput()
	if err != nil || strings.TrimSpace(string(subnet)) != n.Subnet || !strings.HasSuffix(n.Subnet, "/28") {
		t.Errorf("its subnet is %s, %v, and ps says %s", subnet, err, n.Subnet)
	}
	table := avOutput(t, av, env, "ps")
	for _, want := range []string{"RUN", n.Run, "running", "sh", n.Subnet, n.Folder} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in\n%s", want, table)
		}
	}
	if strings.Contains(table, "secret") {
		t.Errorf("an argument is in\n%s", table)
	}
	survive(t, []*one{o})
	if live := alive(t, av, env); len(live) != 0 {
		t.Errorf("after its end: %v", live)
	}
}

func TestPsNeedsNoVault(t *testing.T) {
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	av, dir := filepath.Join(bin, "av"), t.TempDir()
	env := append(os.Environ(), "AV_HOME="+dir, "DOCKER_HOST=unix:///nowhere.sock")
	lease, err := netiso.Hold(dir, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	if live := alive(t, av, env); len(live) != 1 || live[0].Run != "0000000a" {
		t.Errorf("got %v", live)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if out := avOutput(t, av, env, "ps", "--json"); out != "[]\n" {
		t.Errorf("got %q", out)
	}
}
