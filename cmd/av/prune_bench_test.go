//go:build linux

package main

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
)

// orphans is how many networks the benchmark has prune remove.
const orphans = 300

// BenchmarkPrune times `av prune` with the networks of 300 dead runs, and beside it, on
// as many of the same, what it takes to ask the engine for their removal one after
// another. Both begin with a list, and end when the last is gone.
func BenchmarkPrune(b *testing.B) {
	dir, env, av := home(b)
	eng, err := engine.Connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer eng.Close()
	owner, err := netiso.Owner(dir)
	if err != nil {
		b.Fatal(err)
	}
	var ours, theirs time.Duration
	for b.Loop() {
		orphan(b, eng, dir, owner)
		began := time.Now()
		prune := exec.Command(av, "prune")
		prune.Env = env
		out, err := prune.Output()
		ours += time.Since(began)
		if n := bytes.Count(out, []byte("removed network ")); err != nil || n != orphans {
			b.Fatalf("prune removed %d networks, %v", n, err)
		}
		ids := orphan(b, eng, dir, owner)
		began = time.Now()
		for _, id := range ids {
			if err := eng.RemoveNetwork(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
		theirs += time.Since(began)
		if err := os.RemoveAll(filepath.Join(dir, "runs")); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours.Seconds()/float64(b.N), "prune-s")
	b.ReportMetric(theirs.Seconds()/float64(b.N), "one-by-one-s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "one-by-one/prune")
}

// orphan makes what many runs that died have left: a network each, and a folder whose
// lock nobody holds.
func orphan(b *testing.B, eng *engine.Engine, dir, owner string) []string {
	b.Helper()
	ids := make([]string, orphans)
	b.Cleanup(func() {
		for _, id := range ids {
			if id != "" {
				_ = eng.RemoveNetwork(context.Background(), id)
			}
		}
	})
	room := pool(b, 19) // 512 of a run's networks
	var group sync.WaitGroup
	places := make(chan struct{}, 8)
	for i := range ids {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			run := netiso.NewRun(owner)
			a := room.Addr().As4()
			a[2], a[3] = a[2]+byte(i/16), byte(i%16*16)
			subnet := netip.PrefixFrom(netip.AddrFrom4(a), 28)
			id, err := eng.CreateNetwork(b.Context(), engine.Network{
				Name: run.Network(), Bridge: run.Bridge(), Subnet: subnet, Gateway: subnet.Addr().Next(), Labels: run.Labels(),
			})
			if err != nil {
				b.Error(err)
				return
			}
			ids[i] = id
			folder := filepath.Join(dir, "runs", run.ID)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				b.Error(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "lock"), nil, 0o600); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return ids
}
