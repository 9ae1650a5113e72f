package vault_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

func TestFlippedBitInASealedRowIsFound(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "s3cret")
	session := use(t, v, "A")
	readers := map[[2]string]func() error{
		{"credential", "A"}: func() error { _, err := session.Credential(t.Context(), "A", "a.test"); return err },
		{"authority", "ca"}: func() error { _, _, err := v.Authority(t.Context(), owner); return err },
	}
	db := rows(t, o)
	for place, read := range readers {
		id, box := row(t, db, place[0], place[1])
		for i := range box {
			bad := bytes.Clone(box)
			bad[i] ^= 1 << (i % 8)
			update(t, db, func(tx *store.Tx) error {
				return tx.SetBox(store.Sealed{Vault: id, Kind: place[0], Name: place[1]}, bad)
			})
			c.advance(2 * time.Second) // past what memory keeps
			if err := read(); !errors.Is(err, vault.ErrCorrupt) {
				t.Fatalf("%v, byte %d: got %v", place, i, err)
			}
		}
		update(t, db, func(tx *store.Tx) error {
			return tx.SetBox(store.Sealed{Vault: id, Kind: place[0], Name: place[1]}, box)
		})
		c.advance(2 * time.Second)
		if err := read(); err != nil {
			t.Fatalf("%v, restored: %v", place, err)
		}
	}
}

func TestFlippedBitInTheWrappedKeyIsFound(t *testing.T) {
	_, o := newVault(t, newClock())
	db := rows(t, o)
	var w seal.Wrapped
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) { w.Method, w.Box, err = tx.Lock(); return err }); err != nil {
		t.Fatal(err)
	}
	for i := range w.Box {
		bad := bytes.Clone(w.Box)
		bad[i] ^= 1 << (i % 8)
		update(t, db, func(tx *store.Tx) error { return tx.SetLock(w.Method, bad) })
		v, err := vault.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.Authority(t.Context(), owner); err == nil {
			t.Errorf("byte %d: opened", i)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSealedRowDoesNotOpenElsewhere(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "cheap")
	set(t, v, "B", "precious")
	session := use(t, v, "A")
	db := rows(t, o)
	id, precious := row(t, db, "credential", "B")
	_, ca := row(t, db, "authority", "ca")

	other, otherOptions := newVault(t, c)
	set(t, other, "A", "another vault's")
	_, foreign := row(t, rows(t, otherOptions), "credential", "A")

	// Whoever can write the file would have B, or the CA's key, sent to A's host.
	for name, box := range map[string][]byte{"another credential": precious, "another kind": ca, "another vault": foreign} {
		update(t, db, func(tx *store.Tx) error {
			return tx.SetBox(store.Sealed{Vault: id, Kind: "credential", Name: "A"}, box)
		})
		c.advance(2 * time.Second)
		if value, err := session.Credential(t.Context(), "A", "a.test"); !errors.Is(err, vault.ErrCorrupt) {
			t.Errorf("%s: opened as %q, %v", name, value.Open(), err)
		}
	}
}

func TestCertificateOfAnotherCAIsFound(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	other, _ := newVault(t, c)
	pem, err := other.Certificate(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	db := rows(t, o)
	id, _ := row(t, db, "authority", "ca")
	update(t, db, func(tx *store.Tx) error { return tx.SetCertificate(id, certificate(t, pem).Raw) })
	if _, _, err := v.Authority(t.Context(), owner); !errors.Is(err, vault.ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestFileHoldsNoSecretInTheClear(t *testing.T) {
	v, o := newVault(t, newClock())
	const plain = "s3cret-that-must-not-be-seen"
	set(t, v, "A", plain)
	session, opened := openSession(t, v, vault.Grant{Run: "r"})
	v.Record(vault.Entry{Session: session.ID(), Run: "r", Path: "/p?token=" + plain})
	_, key, err := v.Authority(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	file := readFile(t, o.Home, "vault.db")
	for _, secret := range [][]byte{[]byte(plain), opened.Token.Open(), opened.KeyPEM.Open()[40:80], key.Open(), key.Open()[36:68]} {
		if bytes.Contains(file, secret) {
			t.Errorf("the file holds %q", secret)
		}
	}
}
