package nofollow

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes a folder with a secret outside of it, to which links lead.
func tree(t *testing.T) (dir, outside string) {
	t.Helper()
	base := t.TempDir()
	dir, outside = filepath.Join(base, "dir"), filepath.Join(base, "outside")
	for _, d := range []string{filepath.Join(dir, "sub"), outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{filepath.Join(dir, "sub", "file"): "inside", filepath.Join(outside, "file"): "secret"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"up": "../outside", "direct": filepath.Join(outside, "file"), "within": "sub"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, outside
}

func TestNoLinkIsFollowedOnTheWayOrAtTheEnd(t *testing.T) {
	dir, outside := tree(t)
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range []string{"up/file", "within/file", "direct", "../outside/file", "sub/../sub/file", "./sub/file", "/etc/passwd", "", "sub//file", "sub/."} {
		// The positive control: whoever follows links gets there.
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil && name != "/etc/passwd" {
			t.Errorf("control: %s: %v", name, err)
		}
		if f, _, err := d.Open(name); err == nil {
			content, _ := io.ReadAll(f)
			t.Errorf("%q was opened: %q", name, content)
			f.Close()
		}
		if name == "direct" || name == "" {
			continue // those may be looked at, and be removed as what they are
		}
		if _, err := d.Create(name+"-new", 0o644); err == nil && name != "/etc/passwd" && name != "sub/." {
			t.Errorf("%q: a file was made beside it", name)
		}
		if err := d.Remove(name); err == nil {
			t.Errorf("%q was removed", name)
		}
	}
	if content, err := os.ReadFile(filepath.Join(outside, "file")); err != nil || string(content) != "secret" {
		t.Errorf("outside: %q, %v", content, err)
	}
	f, i, err := d.Open("sub/file")
	if err != nil || i.Size != 6 {
		t.Fatalf("%+v, %v", i, err)
	}
	f.Close()
	if _, err := d.Dir("up"); !errors.Is(err, ErrLink) {
		t.Errorf("a link was opened as a folder: %v", err)
	}
	if i, err := d.Lstat("direct"); err != nil || i.Kind != Link {
		t.Errorf("%+v, %v", i, err)
	}
	if target, err := d.Readlink("up"); err != nil || target != "../outside" {
		t.Errorf("%q, %v", target, err)
	}
}

func TestFolderStaysTheOneThatWasOpened(t *testing.T) {
	dir, outside := tree(t)
	d, err := Walk(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := errors.Join(os.Rename(dir, dir+"-away"), os.Symlink(outside, dir)); err != nil {
		t.Fatal(err)
	}
	f, _, err := d.Open("sub/file")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := Walk(dir); !errors.Is(err, ErrLink) {
		t.Errorf("a link was walked: %v", err)
	}
	if _, err := Walk("relative"); err == nil {
		t.Error("a relative path was walked")
	}
}

func TestPipeInAFilesPlaceDoesNotHoldItsReader(t *testing.T) {
	dir, _ := tree(t)
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, i, err := d.Open("pipe"); err == nil || i.Kind != Other {
		t.Errorf("a pipe was opened: %+v, %v", i, err)
	}
}

func TestListsStopAtTheirCeiling(t *testing.T) {
	dir, _ := tree(t)
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names, more, err := d.List(4)
	slices.SortFunc(names, func(a, b Name) int { return strings.Compare(a.Name, b.Name) })
	if want := []Name{{"direct", Link}, {"sub", Folder}, {"up", Link}, {"within", Link}}; err != nil || more || !slices.Equal(names, want) {
		t.Errorf("%v, %t, %v", names, more, err)
	}
	if names, more, err := d.List(3); err != nil || !more || len(names) != 3 {
		t.Errorf("%v, %t, %v", names, more, err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	e, err := d.Dir("empty")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if names, more, err := e.List(3); err != nil || more || len(names) != 0 {
		t.Errorf("%v, %t, %v", names, more, err)
	}
}

// The kernel makes no longer one.
func TestLinkIsReadWhole(t *testing.T) {
	dir, _ := tree(t)
	long := make([]byte, maxLink-1)
	for i := range long {
		long[i] = 'x'
	}
	if err := os.Symlink(string(long)+"x", filepath.Join(dir, "too-long")); err == nil {
		t.Error("the kernel makes longer ones")
	}
	if err := os.Symlink(string(long), filepath.Join(dir, "long")); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if target, err := d.Readlink("long"); err != nil || target != string(long) {
		t.Errorf("%d bytes, %v", len(target), err)
	}
}

func TestErrorsStayInTheirLine(t *testing.T) {
	dir, _ := tree(t)
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const name = "x\nav: hint: forged"
	_, _, opened := d.Open(name)
	_, listed := d.Dir(name)
	_, looked := d.Lstat(name + "/y")
	for _, err := range []error{opened, listed, looked, d.Remove(name), d.Chmod(name, 0o700)} {
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
	}
}
