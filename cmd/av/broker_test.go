package main

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

func TestSessionOfALongRunIsRenewedInTime(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	began := now
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home"), Now: func() time.Time { return now }}
	if err := vault.Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	b := &broker{vault: v, logger: slog.New(slog.DiscardHandler)}
	opened, err := b.Open(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*session)
	for _, c := range []struct{ at, until time.Duration }{
		{time.Minute, 24 * time.Hour}, {11 * time.Hour, 24 * time.Hour}, {12*time.Hour + time.Minute, 36*time.Hour + time.Minute},
		{24 * time.Hour, 36*time.Hour + time.Minute}, {100 * time.Hour, 124 * time.Hour}, // the machine has slept
	} {
		now = began.Add(c.at)
		s.renewIfDue(t.Context(), now)
		if !s.expires.Equal(began.Add(c.until)) {
			t.Errorf("after %v it lasts until %v of the run", c.at, s.expires.Sub(began))
		}
		if found, err := v.SessionByToken(t.Context(), string(s.opened.Token.Open())); err != nil || !found.Alive() {
			t.Errorf("after %v: %v", c.at, err)
		}
	}
	// One that somebody has ended stays ended.
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = began.Add(120 * time.Hour)
	before := s.expires
	if s.renewIfDue(t.Context(), now); !s.expires.Equal(before) {
		t.Error("a session that was ended lives again")
	}
}
