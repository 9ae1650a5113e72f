package vault_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/av-project/av/scripts/require"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/store"
)

// smallDisk is a file system of a megabyte, and fill leaves no byte of it.
func smallDisk(t *testing.T) (dir string, fill func() (free func())) {
	t.Helper()
	// Root, and not the root of a container that may mount nothing.
	require.Root(t)
	require.Net(t)
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "filler")
	return dir, func() func() {
		err := os.WriteFile(path, make([]byte, 2<<20), 0o600)
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		return func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFullDiskLeavesTheLockAndTheRowsAsTheyWere(t *testing.T) {
	disk, fill := smallDisk(t)
	p := &typist{password: "one"}
	o := vault.Options{Home: filepath.Join(disk, "home"), Now: newClock().Now, Password: p.ask}
	if err := vault.Init(t.Context(), o, []byte("one")); err != nil {
		t.Fatal(err)
	}
	v := openVault(t, o)
	set(t, v, "A", strings.Repeat("x", 60<<10))
	set(t, v, "B", strings.Repeat("y", 60<<10))
	acts := map[string]func() error{
		"set password":    func() error { return v.SetPassword(t.Context(), owner, []byte("two")) },
		"remove password": func() error { return v.RemovePassword(t.Context(), owner) },
		"rotate key":      func() error { _, err := v.RotateKey(t.Context(), owner); return err },
		"create vault":    func() error { return v.CreateVault(t.Context(), owner, "second") },
	}
	before := dump(t, o)
	free := fill()
	for name, act := range acts {
		if err := act(); !errors.Is(err, store.ErrFull) || hint(err) == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if strings.Contains(files(t, o.Home), "vault.key") {
		t.Errorf("left %s", files(t, o.Home))
	}
	free()
	if diff := cmp.Diff(before, dump(t, o)); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	reads(t, openVault(t, o), "A", strings.Repeat("x", 60<<10))
	for _, name := range []string{"create vault", "rotate key", "set password"} {
		if err := acts[name](); err != nil {
			t.Errorf("%s with room for it: %v", name, err)
		}
	}
	p.password = "two"
	reads(t, openVault(t, o), "B", strings.Repeat("y", 60<<10))
}

// asNobody runs the test again as somebody whom modes bind, if it runs as root. It tells
// whether this is that run.
func asNobody(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	// The link works also where nobody may not look for the file.
	child := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
	child.Dir = "/"
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
	return false
}

func TestReadOnlyFolderIsRefusedAndNothingIsLost(t *testing.T) {
	if !asNobody(t) {
		return
	}
	v, o, p := newSealedVault(t, "one")
	set(t, v, "A", "1")
	mode := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(filepath.Join(o.Home, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { mode("", 0o700) })
	before := dump(t, o)
	mode("", 0o500)
	if err := v.RemovePassword(t.Context(), owner); !errors.Is(err, store.ErrReadOnly) || hint(err) == "" {
		t.Errorf("no room for a key file: got %v", err)
	}
	mode("", 0o700)
	if diff := cmp.Diff(before, dump(t, o)); diff != "" || strings.Contains(files(t, o.Home), "vault.key") {
		t.Errorf("changed: %s\n%s", files(t, o.Home), diff)
	}

	if err := v.RemovePassword(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	mode("", 0o500)
	err := v.SetPassword(t.Context(), owner, []byte("two"))
	if err == nil || !strings.Contains(err.Error(), "the old key file stays") || !strings.Contains(hint(err), "vault.key") {
		t.Errorf("a key file that cannot be removed: got %v", err)
	}
	mode("", 0o700)
	p.password = "two"
	reads(t, openVault(t, o), "A", "1") // the password is set, as it says

	before = dump(t, o)
	mode("vault.db", 0o400)
	for name, act := range map[string]func(*vault.Vault) error{
		"set password": func(v *vault.Vault) error { return v.SetPassword(t.Context(), owner, []byte("three")) },
		"rotate key":   func(v *vault.Vault) error { _, err := v.RotateKey(t.Context(), owner); return err },
	} {
		if err := act(openVault(t, o)); !errors.Is(err, store.ErrReadOnly) || hint(err) == "" {
			t.Errorf("%s in a file that cannot be written: got %v", name, err)
		}
	}
	mode("vault.db", 0o600)
	if diff := cmp.Diff(before, dump(t, o)); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	rotate(t, openVault(t, o))
}
