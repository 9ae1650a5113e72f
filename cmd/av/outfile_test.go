package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestFileIsWrittenWhollyOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	broken := errors.New("broken")
	half := func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return broken
	}
	if err := writeFile(name, false, half); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	holds(t, dir)
	whole := func(text string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
	}
	if err := writeFile(name, false, whole("one")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if err := writeFile(name, false, whole("two")); err == nil {
		t.Error("replaced unasked")
	}
	if err := writeFile(name, true, half); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "one" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := writeFile(name, true, whole("two")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "two" {
		t.Fatalf("%q, %v", b, err)
	}
	holds(t, dir, "out")
}

// TestFileThatCameMeanwhileIsNotReplaced: somebody may put one there, or a link to one,
// while a passphrase is typed.
func TestFileThatCameMeanwhileIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	err := writeFile(name, false, func(w io.Writer) error { return os.WriteFile(name, []byte("theirs"), 0o600) })
	if err == nil {
		t.Error("replaced unasked")
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "theirs" {
		t.Fatalf("%q, %v", b, err)
	}
	holds(t, dir, "out")
}

func holds(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if len(got) != len(want) || len(got) == 1 && got[0] != want[0] {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}
