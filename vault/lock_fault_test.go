package vault_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// With the old wrapped key and the old password, somebody who reads the disk would have
// the data key, whatever the password is now.
func TestOldLockAndOldCiphertextsAreGoneFromTheDisk(t *testing.T) {
	onDisk := func(o vault.Options, b []byte) bool {
		wal, err := os.ReadFile(filepath.Join(o.Home, "vault.db-wal"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return bytes.Contains(readFile(t, o.Home, "vault.db"), b) || bytes.Contains(wal, b)
	}
	v, o, _ := newSealedVault(t, "one")
	set(t, v, "A", strings.Repeat("long enough for pages of its own", 1000))
	db := rows(t, o)
	check := func(act string, old ...[]byte) {
		t.Helper()
		for i, b := range old {
			if onDisk(o, b) {
				t.Errorf("%s: %d is still there", act, i)
			}
		}
	}
	_, box := lock(t, o)
	if !onDisk(o, box) {
		t.Fatal("the lock is nowhere")
	}
	if err := v.SetPassword(t.Context(), owner, []byte("two")); err != nil {
		t.Fatal(err)
	}
	check("set password", box)

	_, box = lock(t, o)
	_, sealed := row(t, db, "credential", "A")
	tail := sealed[len(sealed)-64:] // on an overflow page
	if !onDisk(o, box) || !onDisk(o, tail) {
		t.Fatal("the lock or the credential is nowhere")
	}
	if _, err := v.RotateKey(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	check("rotate key", box, sealed[:64], tail)

	_, box = lock(t, o)
	if err := v.RemovePassword(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	check("remove password", box)

	// What is deleted leaves whole pages free, which keep what was on them.
	create(t, v, "second")
	second := named(t, o, "second")
	set(t, second, "B", strings.Repeat("long enough for pages of its own", 1000))
	var deleted []byte
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) { deleted, err = tx.Secret(second.ID(), "credential", "B"); return err }); err != nil {
		t.Fatal(err)
	}
	if err := v.DeleteVault(t.Context(), owner, "second"); err != nil {
		t.Fatal(err)
	}
	check("delete vault", deleted[:64], deleted[16000:16064], deleted[len(deleted)-64:])

	// As it would be without the care: the same change by a program that takes none.
	_, box = lock(t, o)
	plain := raw(t, o)
	execute(t, plain, "PRAGMA secure_delete = off")
	execute(t, plain, "UPDATE lock SET wrapped = zeroblob(61)")
	if !onDisk(o, box) {
		t.Error("control: the old lock is gone by itself, so the test shows nothing")
	}
}

func TestLooseFolderIsRefusedBeforeAKeyFileIsWritten(t *testing.T) {
	v, o, _ := newSealedVault(t, "one")
	set(t, v, "A", "1")
	before := dump(t, o)
	if err := os.Chmod(o.Home, 0o777); err != nil {
		t.Fatal(err)
	}
	err := v.RemovePassword(t.Context(), owner)
	if !errors.Is(err, store.ErrAccess) || !strings.HasPrefix(hint(err), "chmod") {
		t.Errorf("got %v", err)
	}
	if err := os.Chmod(o.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump(t, o)); diff != "" || strings.Contains(files(t, o.Home), "vault.key") {
		t.Errorf("changed: %s\n%s", files(t, o.Home), diff)
	}
	if err := v.RemovePassword(t.Context(), owner); err != nil {
		t.Errorf("with the mode that it wants: %v", err)
	}
}

// A key file that no commit asked for would be a way in that nobody knows of.
func TestRemovePasswordThatFailsTakesBackItsKeyFile(t *testing.T) {
	v, o, _ := newSealedVault(t, "one")
	set(t, v, "A", "1")
	before, db := dump(t, o), raw(t, o)
	execute(t, db, "CREATE TRIGGER broken BEFORE UPDATE ON lock BEGIN SELECT raise(ABORT, 'broken'); END")
	if err := v.RemovePassword(t.Context(), owner); err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(before, dump(t, o)); diff != "" || strings.Contains(files(t, o.Home), "vault.key") {
		t.Errorf("changed: %s\n%s", files(t, o.Home), diff)
	}
	execute(t, db, "DROP TRIGGER broken")
	reads(t, openVault(t, o), "A", "1")
	if err := v.RemovePassword(t.Context(), owner); err != nil || !strings.Contains(files(t, o.Home), "vault.key") {
		t.Errorf("%v, %s", err, files(t, o.Home))
	}
}

// Two people change the password at once: one of them did so with a password that, when
// it was their turn, was no longer the vault's.
func TestPasswordThatChangesMeanwhileIsAskedForAgain(t *testing.T) {
	for _, knows := range []bool{true, false} {
		v, o, p := newSealedVault(t, "one")
		set(t, v, "A", "1")
		method, box := lock(t, o)
		before := seal.Wrapped{Method: method, Box: box}
		data, err := before.OpenWithPassword([]byte("one"))
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := before.WithPassword(data, []byte("two"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := raw(t, o).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		first := func(query string, args ...any) {
			t.Helper()
			if _, err := conn.ExecContext(t.Context(), query, args...); err != nil {
				t.Fatal(err)
			}
		}
		first("BEGIN IMMEDIATE")
		second := make(chan error, 1)
		go func() { second <- v.RemovePassword(t.Context(), owner) }()
		// It has written its key file, and waits for its turn to write the row.
		for tick := time.NewTicker(time.Millisecond); !strings.Contains(files(t, o.Home), "vault.key"); {
			select {
			case <-tick.C:
			case err := <-second:
				t.Fatalf("did not wait: %v", err)
			}
		}
		if knows {
			p.password = "two"
		}
		first("UPDATE lock SET method = ?, wrapped = ?", after.Method, after.Box)
		first("COMMIT")
		err = <-second
		if method, _ := lock(t, o); knows && (err != nil || method != "key-file") {
			t.Errorf("knows it: %s, %v", method, err)
		} else if !knows && (!errors.Is(err, vault.ErrRelocked) || method != after.Method) {
			t.Errorf("does not know it: %s, %v", method, err)
		}
		if strings.Contains(files(t, o.Home), "vault.key") != knows {
			t.Errorf("knows it: %v, and there is %s", knows, files(t, o.Home))
		}
	}
}
