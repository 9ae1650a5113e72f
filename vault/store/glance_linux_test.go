package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// locked tells whether this process has a POSIX lock on path.
func locked(t *testing.T, path string) bool {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Skip("no /proc/locks:", err)
	}
	inode := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino)
	for line := range strings.Lines(string(all)) {
		if strings.Contains(line, "POSIX") && strings.Contains(line, fmt.Sprintf(" %d ", os.Getpid())) && strings.Contains(line, inode) {
			return true
		}
	}
	return false
}

func TestOpeningAVaultTwiceLeavesTheFirstItsLocks(t *testing.T) {
	path := newFile(t)
	first, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	look := func() error {
		return first.View(t.Context(), func(tx *Tx) error { _, err := tx.VaultByName("default"); return err })
	}
	if err := look(); err != nil || !locked(t, path) {
		t.Fatalf("an open database has no lock: %v", err)
	}
	second, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if !locked(t, path) {
		t.Error("the first has lost its lock")
	}
	// The control: a descriptor of anybody's, closed.
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if locked(t, path) {
		t.Error("closing a descriptor keeps the locks: this test proves nothing")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if n := descriptors(t, path); n != 0 {
		t.Errorf("%d descriptors of it stay open", n)
	}
}

func descriptors(t *testing.T, path string) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == path {
			n++
		}
	}
	return n
}
