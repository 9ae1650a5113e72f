package vault

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

func keyed(t *testing.T) (*Vault, Options) {
	t.Helper()
	o := Options{Home: filepath.Join(t.TempDir(), "home")}
	if err := Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	return reopen(t, o), o
}

func reopen(t *testing.T, o Options) *Vault {
	t.Helper()
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// rotate does to the lock and the audit log what another process does that replaces the
// data key.
func rotate(t *testing.T, o Options, tell bool) {
	t.Helper()
	other := reopen(t, o)
	old, err := other.dataKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kek, err := readKeyFile(o.keyFile())
	if err != nil {
		t.Fatal(err)
	}
	data := seal.NewKey()
	w, err := seal.WrapWithKey(data, kek)
	if err != nil {
		t.Fatal(err)
	}
	err = other.db.Update(t.Context(), func(tx *store.Tx) error {
		if tell {
			if err := tx.NextGeneration(); err != nil {
				return err
			}
		}
		return errors.Join(tx.SetLock(w.Method, w.Box), resealChain(tx, old, data))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsSealedWithAKeyThatWasReplaced(t *testing.T) {
	for _, tell := range []bool{true, false} {
		v, o := keyed(t)
		if err := v.SetCredential(t.Context(), Owner(), "A", NewValue([]byte("1"))); err != nil {
			t.Fatal(err)
		}
		rotate(t, o, tell)
		if err := v.SetCredential(t.Context(), Owner(), "B", NewValue([]byte("2"))); err != nil {
			t.Fatal(err)
		}
		other := reopen(t, o)
		value, err := other.credential(t.Context(), "B", "")
		if !tell {
			// The control: with the generation as it was, the old key goes on sealing.
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("the control reads %q, %v", value.Open(), err)
			}
			continue
		}
		if err != nil || string(value.Open()) != "2" {
			t.Errorf("%q, %v", value.Open(), err)
		}
		if found, err := other.VerifyAudit(t.Context(), Owner()); err != nil || found.Rows != 3 || found.Sealed != 3 {
			t.Errorf("the log: %+v, %v", found, err)
		}
		if found, err := v.VerifyAudit(t.Context(), Owner()); err != nil || found.Rows != 4 {
			t.Errorf("the log, read by who held the old key: %+v, %v", found, err)
		}
	}
}

func TestVerifyUnlocksAgainAfterARotation(t *testing.T) {
	v, o := keyed(t)
	if err := v.Unlock(t.Context(), Owner()); err != nil {
		t.Fatal(err)
	}
	rotate(t, o, true)
	if found, err := v.VerifyAudit(t.Context(), Owner()); err != nil || found.Rows != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}

// Ending a session needs no key; one that is stale in memory is no reason to fail.
func TestActsWithoutTheKeyOutliveARotation(t *testing.T) {
	v, o := keyed(t)
	if err := v.Unlock(t.Context(), Owner()); err != nil {
		t.Fatal(err)
	}
	rotate(t, o, true)
	if err := v.EndSession(t.Context(), Owner(), "none"); err != nil {
		t.Error(err)
	}
}

func TestResealingVouchesForNothingNew(t *testing.T) {
	v, o := keyed(t)
	key, err := v.dataKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// A row without the key: behind the seal of row 1.
	if err := errors.Join(other.EndSession(t.Context(), Owner(), "none"), other.Close()); err != nil {
		t.Fatal(err)
	}
	next := seal.NewKey()
	for name, from := range map[string]seal.Key{"another's": seal.NewKey(), "the right": key} {
		err := v.db.Update(t.Context(), func(tx *store.Tx) error {
			if err := resealChain(tx, from, next); err != nil {
				return err
			}
			found, err := verifyChain(tx, next)
			if name == "the right" && (err != nil || found != Verified{Rows: 2, Since: 1, Sealed: 1}) {
				t.Errorf("%s key: %+v, %v", name, found, err)
			}
			if name != "the right" && !errors.Is(err, ErrAudit) {
				t.Errorf("%s key: %+v, %v", name, found, err)
			}
			return errors.New("keep nothing")
		})
		if err == nil {
			t.Fatal("kept")
		}
	}
}

func TestVaultThatStaysBusyEndsItsSessionsAfterASecond(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o, err := Options{Home: "/", Now: func() time.Time { return now }}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	v := &Vault{o: o}
	defer v.sessions.closeAll()
	begin := func() (*look, *Session) {
		s, err := newSession(v, store.Session{ID: "s", Expires: now.Add(time.Hour)}, Grant{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &look{vault: v, seen: 7}, v.sessions.add(s)
	}
	l, s := begin()
	for _, after := range []time.Duration{0, 500 * time.Millisecond, maxBlind - 1} {
		if l.outcome(store.ErrBusy, now.Add(after)); !s.Alive() {
			t.Fatalf("ended after %v", after)
		}
	}
	if l.seen != unknown {
		t.Error("it does not read again what it may have missed")
	}
	l.outcome(nil, now.Add(maxBlind)) // and all is well
	if l.outcome(store.ErrBusy, now.Add(maxBlind)); !s.Alive() {
		t.Fatal("it does not forget that it has seen something")
	}
	if l.outcome(store.ErrBusy, now.Add(2*maxBlind)); s.Alive() {
		t.Error("alive after a second")
	}
	for name, err := range map[string]error{"gone": store.ErrGone, "damaged": ErrCorrupt, "whatever": context.DeadlineExceeded} {
		l, s := begin()
		if l.outcome(err, now); s.Alive() {
			t.Errorf("%s: alive", name)
		}
	}
}
