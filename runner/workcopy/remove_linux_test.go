package workcopy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/av-project/av/scripts/require"
)

// A copy of which half is removed must not be applied: the other half would look as if the
// agent had removed it.
func TestCopyThatIsRemovedInPartIsNoneAnyMore(t *testing.T) {
	require.Root(t)
	b := newBench(t)
	for dir := b.copy.Dir; dir != os.TempDir(); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o711))
	}
	must(t, os.Chown(b.copy.Dir, 65534, 65534))
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		if err := unix.Setfsuid(65534); err != nil {
			done <- err
			return
		}
		done <- b.copy.Remove()
	}()
	if err := <-done; err == nil {
		t.Fatal("control: it could be removed whole")
	}
	if _, err := os.Stat(b.copy.Tree()); err != nil {
		t.Fatalf("control: %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.copy.Dir, baseFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it can still be applied: %v", err)
	}
	if copies, unfinished, err := List(b.home); err != nil || len(copies) != 0 || len(unfinished) != 1 {
		t.Errorf("%v, %v, %v", copies, unfinished, err)
	}
}
