package vault_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/store"
)

// writers are acts that need room in the vault's file. What they would write is large,
// so that no page with space to spare takes it in.
func writers(t *testing.T, v *vault.Vault) map[string]func() error {
	t.Helper()
	var backup strings.Builder
	source, _ := newVault(t, newClock())
	set(t, source, "A", strings.Repeat("i", 24<<10))
	set(t, source, "C", strings.Repeat("i", 24<<10))
	if err := source.Export(t.Context(), owner, &backup); err != nil {
		t.Fatal(err)
	}
	return map[string]func() error{
		"set": func() error {
			return v.Set(t.Context(), owner,
				vault.Setting{Key: "A", Value: vault.NewValue([]byte(strings.Repeat("s", 24<<10)))},
				vault.Setting{Key: "C", Value: vault.NewValue([]byte(strings.Repeat("s", 24<<10)))})
		},
		"import": func() error {
			_, err := v.Import(t.Context(), owner, strings.NewReader(backup.String()), vault.ImportOptions{Overwrite: true})
			return err
		},
		"rotate": func() error { _, err := v.RotateKey(t.Context(), owner); return err },
	}
}

func TestFullDiskLeavesCredentialsAsTheyWere(t *testing.T) {
	disk, fill := smallDisk(t)
	o := vault.Options{Home: filepath.Join(disk, "home"), Now: newClock().Now}
	if err := vault.Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	v := openVault(t, o)
	set(t, v, "A", strings.Repeat("x", 24<<10))
	session := use(t, v, "A")
	before := dump(t, o)
	free := fill()
	acts := writers(t, v)
	for name, act := range acts {
		if err := act(); !errors.Is(err, store.ErrFull) || hint(err) == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// What is there can be read while the disk is full.
	if value, err := session.Credential(t.Context(), "A", "a.test"); err != nil || len(value.Open()) != 24<<10 {
		t.Errorf("on a full disk: %d bytes, %v", len(value.Open()), err)
	}
	free()
	if diff := cmp.Diff(before, dump(t, o)); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	if _, err := openVault(t, o).VerifyAudit(t.Context(), owner); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"set", "import", "rotate"} {
		if err := acts[name](); err != nil {
			t.Errorf("%s with room for it: %v", name, err)
		}
	}
	reads(t, openVault(t, o), "C", strings.Repeat("i", 24<<10))
}

func TestWhatCannotBeWrittenIsSaidAndNothingIsLost(t *testing.T) {
	if !asNobody(t) {
		return
	}
	for name, modes := range map[string]struct{ file, folder os.FileMode }{
		"the file":              {0o400, 0o700},
		"the folder":            {0o600, 0o500},
		"the file in no folder": {0o400, 0o500},
	} {
		o := vault.Options{Home: filepath.Join(t.TempDir(), "home"), Now: newClock().Now}
		if err := vault.Init(t.Context(), o, nil); err != nil {
			t.Fatal(err)
		}
		fill, err := vault.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		set(t, fill, "A", "1")
		if err := fill.Close(); err != nil {
			t.Fatal(err)
		}
		chmod := func(file, folder os.FileMode) {
			t.Helper()
			// The folder is opened first and shut last: nobody else changes modes within.
			err := errors.Join(os.Chmod(o.Home, 0o700), os.Chmod(filepath.Join(o.Home, "vault.db"), file), os.Chmod(o.Home, folder))
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { chmod(0o600, 0o700) })
		before := readFile(t, o.Home, "vault.db")
		for _, act := range []string{"set", "import", "rotate"} {
			chmod(modes.file, modes.folder)
			v, err := vault.Open(t.Context(), o)
			if err == nil {
				err = errors.Join(writers(t, v)[act](), v.Close())
			}
			if !errors.Is(err, store.ErrReadOnly) || hint(err) == "" {
				t.Errorf("%s, %s: got %v", name, act, err)
			}
			chmod(0o600, 0o700)
			if !bytes.Equal(before, readFile(t, o.Home, "vault.db")) {
				t.Errorf("%s, %s: the file was changed", name, act)
			}
		}
		// The hint says: the folder and the files in it. SQLite gave those that it made the
		// mode of vault.db.
		for _, file := range strings.Fields(files(t, o.Home)) {
			if err := os.Chmod(filepath.Join(o.Home, file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for act, do := range writers(t, openVault(t, o)) {
			if err := do(); err != nil {
				t.Errorf("%s, once it can be written, %s: %v", name, act, err)
			}
		}
	}
}

func TestLooseFileIsRefusedBeforeAnythingIsRead(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	path := filepath.Join(o.Home, "vault.db")
	try := func(what string) {
		t.Helper()
		if v, err := vault.Open(t.Context(), o); !errors.Is(err, store.ErrAccess) || hint(err) == "" {
			t.Errorf("%s: %v, got %v", what, v, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	try("others may read")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 65534, -1); err != nil {
			t.Fatal(err)
		}
		try("somebody else's")
		if err := os.Chown(path, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
	reads(t, openVault(t, o), "A", "1")
}
