package main

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkStart times a whole `av run --isolation=container -- true`, the time to the
// command's first instruction, and the parts of the start, beside a whole `docker run --rm
// IMAGE` of the same image: by turns, so that whatever else the machine does falls on all.
func BenchmarkStart(b *testing.B) {
	_, env, av := home(b)
	image := baseImage(b, env, av)
	receiptFile := filepath.Join(b.TempDir(), "receipt.json")
	runs := map[string][]string{
		"docker":    {"docker", "run", "--rm", image},
		"av":        {av, "run", "--quiet", "--isolation=container", "--receipt", receiptFile, "--"},
		"av-bridge": {av, "run", "--quiet", "--isolation=container", "--relay=bridge", "--receipt", receiptFile, "--"},
	}
	whole, first := map[string][]time.Duration{}, map[string][]time.Duration{}
	parts := map[string]map[string][]time.Duration{"av": {}, "av-bridge": {}}
	for b.Loop() {
		for range 10 {
			for name, run := range runs {
				args := append(slices.Clone(run), "date", "+%s%N")
				cmd := exec.Command(args[0], args[1:]...)
				cmd.Env, cmd.Dir = env, b.TempDir()
				began := time.Now()
				out, err := cmd.Output()
				whole[name] = append(whole[name], time.Since(began))
				at, scan := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
				if err != nil || scan != nil {
					b.Fatalf("%s: %v, %v: %s", name, err, scan, out)
				}
				first[name] = append(first[name], time.Unix(0, at).Sub(began))
				if parts[name] == nil {
					continue
				}
				r, _ := readReceipt(b, receiptFile)
				for part, ms := range r.Start {
					parts[name][part] = append(parts[name][part], time.Duration(ms*float64(time.Millisecond)))
				}
			}
		}
	}
	middle := func(d []time.Duration) float64 {
		d = slices.Sorted(slices.Values(d))
		return float64(d[len(d)/2].Microseconds()) / 1000
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(whole["docker"]), "docker-ms")
	b.ReportMetric(middle(first["docker"]), "docker-first-ms")
	for name, of := range parts {
		b.ReportMetric(middle(whole[name]), name+"-ms")
		b.ReportMetric(middle(whole[name])/middle(whole["docker"]), name+"/docker")
		b.ReportMetric(middle(first[name])-middle(first["docker"]), name+"-first-later-ms")
		line := ""
		for _, part := range slices.Sorted(maps.Keys(of)) {
			line += fmt.Sprintf(" %s %.0f", part, middle(of[part]))
		}
		b.Logf("parts of the start of %s, in ms:%s", name, line)
	}
}
