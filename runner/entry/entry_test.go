package entry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/runner/hostpath"
)

func TestOrdersAreReadAsTheyWereWritten(t *testing.T) {
	want := Orders{Proofs: []hostpath.Proof{{Target: "/workspace", Dev: 1, Ino: 2, ReadOnly: true}}, System: true, Home: "/home/agent", Await: true}
	path := filepath.Join(t.TempDir(), "orders")
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "[]", "{"} {
		other := filepath.Join(t.TempDir(), "orders")
		if err := os.WriteFile(other, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(other); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := Read(path + "-not-there"); err == nil {
		t.Error("no file is taken")
	}
}

// pipe is one that av holds open.
func pipe(t *testing.T) (path string, av *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "word")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	av, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { av.Close() })
	return path, av
}

func TestCommandWaitsForTheWordAndDoesNotStartWithoutIt(t *testing.T) {
	path, av := pipe(t)
	waited := make(chan error, 1)
	go func() { waited <- await(path) }()
	select {
	case err := <-waited:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	if _, err := av.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("with the word: %v", err)
	}

	// av dies while it waits, and before it does.
	go func() { waited <- await(path) }()
	av.Close()
	if err := <-waited; err == nil {
		t.Error("it starts without a word")
	}
	if err := await(path); err == nil {
		t.Error("it starts without an av")
	}
	if err := await(path + "-that-is-not-there"); err == nil {
		t.Error("it starts without a pipe")
	}
}

func TestFilesGoIntoTheBox(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	write := func(path, content string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(outside, "outside")
	write(filepath.Join(dir, "etc/passwd"), "image's")
	if err := os.Symlink(outside, filepath.Join(dir, "etc/group")); err != nil {
		t.Fatal(err)
	}
	archive, err := Pack([]File{
		{"new", nil, 0o700}, {"new/empty", []byte{}, 0o600},
		{"etc/passwd", []byte("ours"), 0o644}, {"etc/group", []byte("ours"), 0o644}, {"a/b/c", []byte("deep"), 0o755},
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func() map[string]string {
		got := map[string]string{}
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			i, _ := os.Lstat(path)
			content, _ := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			got[rel] = i.Mode().String() + " " + string(content)
			return err
		})
		delete(got, ".")
		return got
	}
	put := func(keep bool) map[string]string {
		t.Helper()
		files, err := Unpack(strings.NewReader(string(archive)))
		if err != nil {
			t.Fatal(err)
		}
		if err := put(files, dir, keep); err != nil {
			t.Fatal(err)
		}
		return look()
	}
	want := map[string]string{
		"new": "drwx------ ", "new/empty": "-rw------- ", "a": "drwxr-xr-x ", "a/b": "drwxr-xr-x ", "a/b/c": "-rwxr-xr-x deep",
		"etc": "drwxr-xr-x ", "etc/passwd": "-rw------- image's", "etc/group": "Lrwxrwxrwx outside",
	}
	if diff := cmp.Diff(want, put(true)); diff != "" {
		t.Errorf("where what is there is kept:\n%s", diff)
	}
	want["etc/passwd"], want["etc/group"] = "-rw-r--r-- ours", "-rw-r--r-- ours"
	if diff := cmp.Diff(want, put(false)); diff != "" {
		t.Errorf("where it is not:\n%s", diff)
	}
	if content, _ := os.ReadFile(outside); string(content) != "outside" {
		t.Errorf("a link was written through: %q", content)
	}
}
