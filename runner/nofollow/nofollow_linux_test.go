package nofollow

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody does something to files as a user does who is not root.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
		}
		do()
	}()
	<-done
}

func TestFolderThatNobodyMayReadIsOpenedByItsOwner(t *testing.T) {
	base := t.TempDir()
	if err := errors.Join(os.Mkdir(base+"/closed", 0), os.Chmod(filepath.Dir(base), 0o755), os.Chmod(base, 0o777), os.Symlink("closed", base+"/link")); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(base+"/closed", 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(base)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	asNobody(t, func() {
		if _, err := d.Dir("closed"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("control: it can be read: %v", err)
		}
		if err := d.Chmod("closed", 0o700); err != nil {
			t.Error(err)
		}
		if err := d.Chmod("link", 0o711); err == nil {
			t.Error("a link was followed")
		}
	})
	if i, err := d.Lstat("closed"); err != nil || i.Perm != 0o700 {
		t.Errorf("%o, %v", i.Perm, err)
	}
}

func TestTwoFilesTakeEachOthersPlace(t *testing.T) {
	dir, outside := tree(t)
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.WriteFile(dir+"/new", []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A link is exchanged, and not followed, and none on the way is.
	if err := d.Exchange("new", "direct"); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(dir + "/direct"); err != nil || string(content) != "new" {
		t.Errorf("%q, %v", content, err)
	}
	if target, err := os.Readlink(dir + "/new"); err != nil || target != filepath.Join(outside, "file") {
		t.Errorf("%q, %v", target, err)
	}
	if err := d.Exchange("direct", "up/file"); !errors.Is(err, ErrLink) {
		t.Errorf("a link on the way: %v", err)
	}
	if content, err := os.ReadFile(outside + "/file"); err != nil || string(content) != "secret" {
		t.Errorf("outside: %q, %v", content, err)
	}
}
