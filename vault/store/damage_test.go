package store

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/av-project/av/scripts/require"
)

func TestDamagedFileIsRefusedAndNotTouched(t *testing.T) {
	good := read(t, newFile(t))
	other := filepath.Join(t.TempDir(), "other.db")
	pragma(t, other, "user_version = 1")
	for name, content := range map[string]string{
		"empty":                    "",
		"shorter than a header":    good[:99],
		"a header alone":           good[:100],
		"half a page":              good[:2048],
		"one page":                 good[:4096],
		"half":                     good[:len(good)/2],
		"the last byte missing":    good[:len(good)-1],
		"not a database":           strings.Repeat("not a database ", 1000),
		"somebody else's":          read(t, other),
		"zeroes behind page one":   good[:4096] + strings.Repeat("\x00", len(good)-4096),
		"another format":           "SQLite format 4\x00" + good[16:],
		"a schema below the first": good[:60] + "\xff\xff\xff\xff" + good[64:],
	} {
		path := filepath.Join(t.TempDir(), "vault.db")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := Open(t.Context(), path)
		if err == nil {
			err = errors.Join(db.View(t.Context(), func(tx *Tx) error { _, err := tx.VaultByName("default"); return err }), db.Close())
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v", name, err)
		}
		if read(t, path) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestNoVaultIsNotMade(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "vault.db"), filepath.Join(t.TempDir(), "no", "such", "vault.db")} {
		if _, err := Open(t.Context(), path); !errors.Is(err, ErrNotExist) {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("made %s", path)
		}
	}
}

func TestLooseModesAreRefusedWithTheCommandThatMendsThem(t *testing.T) {
	for _, c := range []struct {
		file, folder fs.FileMode
		hint         string
	}{
		{0o600, 0o700, ""},
		{0o400, 0o700, ""},
		{0o600, 0o755, ""}, // a list of names tells nothing
		{0o640, 0o700, "chmod 600"},
		{0o604, 0o700, "chmod 600"},
		{0o620, 0o700, "chmod 600"},
		{0o666, 0o700, "chmod 600"},
		{0o600, 0o770, "chmod go-w"},
		{0o600, 0o702, "chmod go-w"},
	} {
		path := newFile(t)
		if err := errors.Join(os.Chmod(path, c.file), os.Chmod(filepath.Dir(path), c.folder)); err != nil {
			t.Fatal(err)
		}
		_, done, err := checkFile(path)
		if err == nil {
			err = done()
		}
		if c.hint == "" {
			if err != nil {
				t.Errorf("%04o in %04o: %v", c.file, c.folder, err)
			}
			continue
		}
		var h interface{ Hint() string }
		if !errors.Is(err, ErrAccess) || !errors.As(err, &h) || !strings.HasPrefix(h.Hint(), c.hint) {
			t.Errorf("%04o in %04o: %v", c.file, c.folder, err)
		}
		if err := os.Chmod(filepath.Dir(path), 0o700); err != nil { // so that it can be removed
			t.Fatal(err)
		}
	}
}

func TestFilesOfAnotherUserAreRefused(t *testing.T) {
	require.Root(t) // who alone can give a file away
	for _, whose := range []func(path string) string{func(path string) string { return path }, filepath.Dir} {
		path := newFile(t)
		if err := os.Chown(whose(path), 54321, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path); !errors.Is(err, ErrAccess) {
			t.Errorf("got %v", err)
		}
	}
}

func TestKeyFileIsNeverReplacedAndNeverLoose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.key")
	if _, err := ReadKeyFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	if err := WriteKeyFile(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := WriteKeyFile(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v", err)
	}
	if b, err := ReadKeyFile(path); err != nil || string(b) != "one" {
		t.Fatalf("%q, %v", b, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFile(path); !errors.Is(err, ErrAccess) {
		t.Fatalf("got %v", err)
	}
}

func TestFolderIsMadeForOneAndRemovedIfItStaysEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	release, err := Folder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("%v, %v", info, err)
	}
	release()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("the empty folder stayed")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if release, err = Folder(dir); err != nil {
		t.Fatal(err)
	}
	release()
	if _, err := os.Stat(dir); err != nil {
		t.Fatal("a folder that was there before was removed")
	}
}

func TestSQLitesCodesBecomeAdvice(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "no", "such", "folder"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := explain(db.PingContext(t.Context())); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("got %v", err)
	}
	plain := errors.New("plain")
	if explain(plain) != plain || explain(nil) != nil {
		t.Fatal("what is not SQLite's was changed")
	}
}

// SQLite keeps its log beside the file itself, and not beside the link to it: whoever may
// write there may write the vault.
func TestFolderThatALinkLeadsToIsOursAlone(t *testing.T) {
	path := newFile(t)
	link := filepath.Join(t.TempDir(), "vault.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	open(t, link)
	if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(filepath.Dir(path), 0o700) }()
	db, err := Open(t.Context(), link)
	if err == nil {
		_ = db.Close()
	}
	if !errors.Is(err, ErrAccess) {
		t.Errorf("got %v", err)
	}
}
