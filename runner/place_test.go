package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/protect"
)

func TestPathsAreClosedUpToACeiling(t *testing.T) {
	dir := t.TempDir()
	var seen protect.Seen
	for i := range maxClosed + 1 {
		name := fmt.Sprint("f", i)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		seen.Closed = append(seen.Closed, name)
	}
	root, err := nofollow.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var p placed
	if err := p.guard(root, dir, "/workspace", seen); err != nil {
		t.Fatal(err)
	}
	if len(p.binds) != maxClosed || len(p.proofs) != maxClosed || p.binds[0] != (engine.Bind{Source: filepath.Join(dir, "f0"), Target: "/workspace/f0", ReadOnly: true}) {
		t.Errorf("%d mounts, %d proofs, %+v", len(p.binds), len(p.proofs), p.binds[0])
	}
}
