package main

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkStart times a whole `av run --isolation=container -- true` beside a whole
// `docker run --rm IMAGE true` of the same image, by turns, so that whatever else
// the machine does falls on both.
func BenchmarkStart(b *testing.B) {
	_, env, av := home(b)
	run := func(name string, args ...string) time.Duration {
		cmd := exec.Command(name, args...)
		cmd.Env, cmd.Dir = env, b.TempDir()
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", name, err, out)
		}
		return time.Since(began)
	}
	image := baseImage(b, env, av)
	var ours, theirs []time.Duration
	for b.Loop() {
		for range 10 {
			theirs = append(theirs, run("docker", "run", "--rm", image, "true"))
			ours = append(ours, run(av, "run", "--isolation=container", "--", "true"))
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	middle := func(d []time.Duration) float64 { return float64(d[len(d)/2].Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(theirs), "docker-run-ms")
	b.ReportMetric(middle(ours), "av-run-ms")
	b.ReportMetric(middle(ours)/middle(theirs), "av/docker")
}
