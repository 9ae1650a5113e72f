package vault_test

import (
	"errors"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

func TestSessionIsRenewedForAnotherDayAndStaysTheSame(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	s, opened := openSession(t, v, vault.Grant{Run: "r"})
	if !opened.Expires.Equal(c.Now().Add(24 * time.Hour)) {
		t.Fatalf("it says that it lasts until %v", opened.Expires)
	}
	c.advance(23 * time.Hour)
	until, err := v.RenewSession(t.Context(), vault.Owner(), opened.ID)
	if err != nil || !until.Equal(c.Now().Add(24*time.Hour)) || !s.Expires().Equal(until) {
		t.Fatalf("%v, %v, %v", until, s.Expires(), err)
	}
	c.advance(23 * time.Hour)
	if !s.Alive() || ended(s) {
		t.Error("it ended at its old end")
	}
	// Another process finds it, and so its row is sealed with what it says now.
	if _, err := openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open())); err != nil {
		t.Error(err)
	}
	c.advance(time.Hour)
	if s.Alive() {
		t.Error("it does not end at its new end")
	}
	// The machine has slept over its end.
	if _, err := v.RenewSession(t.Context(), vault.Owner(), opened.ID); err != nil {
		t.Fatal(err)
	}
	if again, err := v.SessionByToken(t.Context(), string(opened.Token.Open())); err != nil || !again.Alive() {
		t.Errorf("expired and renewed: %v", err)
	}
}

func TestSessionThatEndedOrThatNobodySealedIsNotRenewed(t *testing.T) {
	v, o := newVault(t, newClock())
	s, opened := openSession(t, v, vault.Grant{Run: "r"})
	if err := v.EndSession(t.Context(), vault.Owner(), opened.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{opened.ID, "none", ""} {
		if _, err := v.RenewSession(t.Context(), vault.Owner(), id); !errors.Is(err, vault.ErrNoSession) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if s.Alive() {
		t.Error("it lives again")
	}
	// Somebody who can write the file, and has no key, has made one last longer.
	_, widened := openSession(t, v, vault.Grant{Run: "r"})
	execute(t, raw(t, o), "UPDATE sessions SET expires = expires + 1 WHERE id = ?", widened.ID)
	if _, err := v.RenewSession(t.Context(), vault.Owner(), widened.ID); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("a row that was changed: %v", err)
	}
}
