package workcopy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/av-project/av/runner/nofollow"
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
	if err := asNobody(b.copy.Remove); err == nil {
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

// asNobody does something to files as a user who is not root.
func asNobody(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		if err := unix.Setfsuid(65534); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

func TestWorkspaceThatCannotBeReadIsNotCopied(t *testing.T) {
	require.Root(t)
	b := newBench(t)
	must(t, os.Chmod(b.dir+"/keep", 0))
	must(t, os.MkdirAll(Dir(b.home), 0o700))
	must(t, os.Chown(Dir(b.home), 65534, 65534))
	for dir := Dir(b.home); dir != os.TempDir(); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o711))
	}
	from, err := nofollow.Walk(b.dir)
	must(t, err)
	defer from.Close()
	err = asNobody(func() error {
		_, _, err := Take(t.Context(), b.home, "0000000b", b.dir, "sh", from, 65534, 0)
		return err
	})
	var h interface{ Hint() string }
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "open keep: permission denied") || !errors.As(err, &h) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(filepath.Join(Dir(b.home), "0000000b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was copied is left: %v", err)
	}
}
