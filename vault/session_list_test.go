package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

func list(t *testing.T, v *vault.Vault, all bool) (ids []string) {
	t.Helper()
	infos, err := v.Sessions(t.Context(), owner, all)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		ids = append(ids, info.ID)
	}
	return ids
}

func TestSessionsAreListedNewestFirstAndThoseOfThePastWhenAskedFor(t *testing.T) {
	c := newClock()
	v, _ := newVault(t, c)
	allow := []policy.Target{{Host: "a.test", Port: 443}}
	_, first := openSession(t, v, vault.Grant{Run: "r1", Allow: allow, Unmatched: policy.Deny})
	made := c.Now()
	c.advance(time.Minute)
	_, short := openSession(t, v, vault.Grant{TTL: 5 * time.Minute})
	c.advance(time.Minute)
	_, revoked := openSession(t, v, vault.Grant{})
	if err := v.EndSession(t.Context(), owner, revoked.ID); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Hour) // short expires
	got, err := v.Sessions(t.Context(), owner, false)
	want := []vault.SessionInfo{{ID: first.ID, Run: "r1", Created: made, Expires: made.Add(24 * time.Hour), Unmatched: policy.Deny, Allow: allow}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	if got, want := list(t, v, true), []string{revoked.ID, short.ID, first.ID}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSessionIsRevokedByTheBeginningOfItsID(t *testing.T) {
	v, o := newVault(t, newClock())
	s, opened := openSession(t, v, vault.Grant{Run: "r"})
	other, _ := openSession(t, v, vault.Grant{})
	info, err := v.RevokeSession(t.Context(), owner, opened.ID[:6])
	if err != nil || info.ID != opened.ID || info.Run != "r" || info.Ended.IsZero() {
		t.Fatalf("%+v, %v", info, err)
	}
	if s.Alive() || !ended(s) || !other.Alive() {
		t.Error("not that one")
	}
	if got := list(t, v, false); !slices.Equal(got, []string{other.ID()}) {
		t.Errorf("%v are open", got)
	}
	if _, err := openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open())); !errors.Is(err, vault.ErrNoSession) {
		t.Errorf("got %v", err)
	}
	for _, id := range []string{opened.ID, "000000", strings.Repeat("0", 32)} {
		if _, err := v.RevokeSession(t.Context(), owner, id); !errors.Is(err, vault.ErrNoSession) {
			t.Errorf("%s: got %v", id, err)
		}
	}
	// The log names the session that was ended, not the letters that were typed.
	acts, err := v.Acts(t.Context(), owner, 4)
	if err != nil || len(acts) != 4 || acts[0].Act != "revoke session" || acts[0].Object != opened.ID || acts[0].Error != "" {
		t.Errorf("%+v, %v", acts, err)
	}
}

func TestWhatIsNoSessionsIDIsRefusedAndNotKept(t *testing.T) {
	v, _ := newVault(t, newClock())
	_, opened := openSession(t, v, vault.Grant{})
	token := string(opened.Token.Open())
	for _, id := range []string{"", opened.ID[:5], token, "%", "______", opened.ID + "0", strings.ToUpper(opened.ID[:31]) + "Z"} {
		_, err := v.RevokeSession(t.Context(), owner, id)
		if err == nil || errors.Is(err, vault.ErrNoSession) || hint(err) == "" {
			t.Errorf("%q: got %v", id, err)
		}
	}
	acts, err := v.Acts(t.Context(), owner, 0)
	if err != nil || strings.Contains(fmt.Sprint(acts), token) {
		t.Errorf("the log holds the token: %v", err)
	}
	if len(list(t, v, false)) != 1 {
		t.Error("it was ended")
	}
}

func TestSessionIsNotRevokedWhenTwoBeginLikeThat(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "1")
	db := rows(t, o)
	id, _ := row(t, db, "credential", "A")
	for i, session := range []string{"abcdef0000", "abcdef1111"} {
		s := store.Session{ID: session, Policy: `{"unmatched":"deny"}`, Created: c.Now(), Expires: c.Now().Add(time.Hour)}
		s.TokenHash[0], s.CertificateHash[0] = byte(i), byte(i)
		update(t, db, func(tx *store.Tx) error { return tx.AddSession(id, s) })
	}
	if _, err := v.RevokeSession(t.Context(), owner, "abcdef"); err == nil || errors.Is(err, vault.ErrNoSession) || hint(err) == "" {
		t.Errorf("got %v", err)
	}
	if len(list(t, v, false)) != 2 {
		t.Fatal("one was ended")
	}
	if _, err := v.RevokeSession(t.Context(), owner, "abcdef1"); err != nil || !slices.Equal(list(t, v, false), []string{"abcdef0000"}) {
		t.Errorf("%v, %v", list(t, v, false), err)
	}
}

func TestSessionsOfLongAgoAreForgottenWhenANewOneIsOpened(t *testing.T) {
	const month = 30 * 24 * time.Hour
	c := newClock()
	v, _ := newVault(t, c)
	_, revoked := openSession(t, v, vault.Grant{TTL: 7 * 24 * time.Hour})
	if err := v.EndSession(t.Context(), owner, revoked.ID); err != nil {
		t.Fatal(err)
	}
	_, expired := openSession(t, v, vault.Grant{TTL: time.Hour})
	c.advance(month)
	_, now := openSession(t, v, vault.Grant{})
	if got := list(t, v, true); !slices.Equal(got, []string{now.ID, min(revoked.ID, expired.ID), max(revoked.ID, expired.ID)}) {
		t.Errorf("after 30 days: %v", got)
	}
	c.advance(time.Minute)
	_, later := openSession(t, v, vault.Grant{})
	if got := list(t, v, true); !slices.Equal(got, []string{later.ID, now.ID, expired.ID}) {
		t.Errorf("a minute later: %v", got)
	}
	c.advance(time.Hour)
	_, last := openSession(t, v, vault.Grant{})
	if got := list(t, v, true); !slices.Equal(got, []string{last.ID, later.ID, now.ID}) {
		t.Errorf("an hour later: %v", got)
	}
}
