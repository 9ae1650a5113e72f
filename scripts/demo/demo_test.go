package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/av-project/av/scripts/require"
)

// The demo checks every line that it prints, so that it is a test by itself.
func TestDemoHolds(t *testing.T) {
	require.Root(t)
	require.Docker(t)
	require.Net(t)
	av := filepath.Join(t.TempDir(), "av")
	build := exec.Command("go", "build", "-trimpath", "-o", av, "github.com/av-project/av/cmd/av")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build av: %v: %s", err, out)
	}
	if err := show(t.Context(), av); err != nil {
		t.Error(err)
	}
}

func TestScannerFindsWhatIsCutInTwo(t *testing.T) {
	for cut := range len("xxsecretxx") {
		s := newScanner("secret", "other")
		text := "xxsecretxx"
		for _, part := range []string{text[:cut], text[cut:]} {
			if _, err := s.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		if !s.found("secret") || s.found("other") {
			t.Errorf("cut at %d: %v, %v", cut, s.found("secret"), s.found("other"))
		}
	}
	s := newScanner("secret")
	for _, part := range strings.SplitAfter("s e c r e t", " ") {
		_, _ = s.Write([]byte(part))
	}
	if s.found("secret") {
		t.Error("found what is not there")
	}
}
