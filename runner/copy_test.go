package runner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/workcopy"
)

func TestCopyIsRemovedOnlyIfNothingWasChangedInIt(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(tree string) error
		kept bool
		says int // changes; -1: that it cannot be told
	}{
		"nothing": {func(string) error { return nil }, false, 0},
		"a file":  {func(tree string) error { return os.WriteFile(filepath.Join(tree, "file"), []byte("y"), 0o644) }, true, 1},
		// It said that nothing was changed.
		"what cannot be looked at": {func(tree string) error { return os.MkdirAll(filepath.Join(tree, strings.Repeat("d/", 200)), 0o755) }, true, -1},
	} {
		t.Run(name, func(t *testing.T) {
			dir, home := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			from, err := nofollow.Walk(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			made, _, err := workcopy.Take(t.Context(), home, "0000000a", dir, "sh", from, os.Getuid(), os.Getgid())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.do(made.Tree()); err != nil {
				t.Fatal(err)
			}
			said := -1
			b := &box{placed: placed{copy: made}}
			b.Copied = func(_ *workcopy.Copy, changes int) { said = changes }
			if err := b.endCopy(); (err != nil) != (c.says < 0) || said != c.says {
				t.Errorf("says %d, %v", said, err)
			}
			if _, err := os.Lstat(made.Dir); errors.Is(err, fs.ErrNotExist) == c.kept {
				t.Errorf("the copy: %v", err)
			}
		})
	}
}
