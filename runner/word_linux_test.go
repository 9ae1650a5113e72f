package runner_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/runner"
	"github.com/av-project/av/runner/entry"
)

// waits tells whether a process stands at the pipe that a box has for the word. The path
// tells which box it is of: it is the last argument of the command.
func waits(t *testing.T, path string) bool {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		line, _ := os.ReadFile(p)
		if !strings.HasPrefix(string(line), entry.Program+"\x00") || !strings.HasSuffix(string(line), "\x00"+path+"\x00") {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(filepath.Dir(p), "fd", "*"))
		for _, f := range files {
			if to, _ := os.Readlink(f); to == entry.Word {
				return true
			}
		}
	}
	return false
}

// The command's container runs while nothing is proved yet, for the gate has not even been
// told whose it is; the command does not. Control: with a session, it does.
func TestCommandWaitsInItsBoxUntilTheWallsAreProved(t *testing.T) {
	refused := errors.New("no session for you")
	for _, answer := range []error{refused, nil} {
		workspace := t.TempDir()
		ran := "/workspace/" + filepath.Base(workspace)
		here := filepath.Join(workspace, filepath.Base(workspace))
		n := newNotary(t)
		n.opening = func() error {
			for end := time.Now().Add(2 * time.Minute); !waits(t, ran); time.Sleep(10 * time.Millisecond) {
				if _, err := os.Stat(here); err == nil || time.Now().After(end) {
					t.Errorf("the command does not wait: %v", err)
					break
				}
			}
			if _, err := os.Stat(here); err == nil {
				t.Error("the command runs in a box of which nothing is proved")
			}
			return answer
		}
		_, _, _, err := inBox(t, n, func(s *runner.Spec) { s.Workspace = workspace }, "touch", ran)
		if !errors.Is(err, answer) {
			t.Errorf("with %v: %v", answer, err)
		}
		if _, err := os.Stat(here); (err == nil) != (answer == nil) {
			t.Errorf("with %v: did the command run? %v", answer, err)
		}
	}
}
