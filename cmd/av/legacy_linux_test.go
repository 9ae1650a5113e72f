package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/images"
	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault"
)

// gateImage gives the image of av's gate, and one like it in which nft does not work, as
// on a kernel that has none.
func gateImage(t *testing.T, av, dir string, env []string) (image, withoutNft string) {
	t.Helper()
	r, _ := commanded(t, av, env)
	runs, err := os.ReadDir(filepath.Join(dir, "runs"))
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs: %v, %v", runs, err)
	}
	image = docker(t, "inspect", "-f", "{{.Image}}", "av-"+runs[0].Name()+"-gate")
	r.stdin.Close()
	if err := r.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	withoutNft = "av-test-without-nft:" + runs[0].Name()
	build := exec.Command("docker", "build", "-q", "-t", withoutNft, "-")
	build.Stdin = strings.NewReader("FROM " + image + "\nRUN printf '#!/bin/sh\\necho no nft >&2\\nexit 1\\n' >/usr/sbin/xtables-nft-multi\n")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", withoutNft).Run() })
	return image, withoutNft
}

func TestBoxOfAKernelWithoutNftIsWalledWithTheOlderTables(t *testing.T) {
	dir, env, av := home(t)
	image, withoutNft := gateImage(t, av, dir, env)
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	owner, err := netiso.Owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "init-firewall.sh")
	if err := os.WriteFile(script, images.FirewallScript(), 0o444); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, image, has, hasNot string }{
		{"control: a kernel with nft", image, "iptables-nft-save", "iptables-legacy-save"},
		{"a kernel without", withoutNft, "iptables-legacy-save", "iptables-nft-save"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			run := netiso.NewRun(owner)
			network, err := netiso.CreateNetwork(ctx, e, run, netiso.DefaultPool)
			if err != nil {
				t.Fatal(err)
			}
			defer network.Remove(context.Background())
			gate, err := netiso.CreateGate(ctx, e, run, c.image, netiso.GateFiles{Script: script})
			if err != nil {
				t.Fatal(err)
			}
			defer gate.Remove(context.Background())
			if err := gate.Start(ctx); err != nil {
				t.Fatal(err)
			}
			relay, identity := proxyFor(t, dir, run.ID, network)
			if err := gate.Enclose(ctx, run, relay, identity, images.FirewallScriptSHA256()); err != nil {
				t.Fatal(err)
			}
			walls, err := netiso.RaiseHostWalls(ctx, run, relay, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer walls.Remove(context.Background())
			if got, err := gate.Refused(ctx, walls); got != (netiso.Refused{}) || err != nil {
				t.Errorf("counted %+v, %v", got, err)
			}
			for program, want := range map[string]bool{c.has: true, c.hasNot: false} {
				pid := docker(t, "inspect", "-f", "{{.State.Pid}}", run.Gate())
				out, err := exec.Command("nsenter", "--net=/proc/"+pid+"/ns/net", program, "-t", "filter").Output()
				if err != nil || strings.Contains(string(out), relay.(*net.TCPAddr).IP.String()) != want {
					t.Errorf("%s: %v\n%s", program, err, out)
				}
			}
		})
	}
}

// proxyFor serves a run's proxy on its bridge.
func proxyFor(t *testing.T, home, run string, network *netiso.Network) (relay net.Addr, id netiso.Identity) {
	t.Helper()
	guard := egress.New(net.DefaultResolver, &net.Dialer{})
	b := &broker{logger: slog.New(slog.DiscardHandler), way: wayOut{guard: guard}, open: func(ctx context.Context) (*vault.Vault, error) {
		return vault.Open(ctx, vault.Options{Home: home, Now: time.Now})
	}}
	var err error
	if b.vault, err = b.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	session, err := b.Open(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(network.Gateway, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- session.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = b.close()
	})
	return listener.Addr(), session.Identity()
}
