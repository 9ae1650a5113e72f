package proxy

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

func TestTurnIsWaitedForUpToItsCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond = 10
		l := rate.NewLimiter(perSecond, 1)
		took := func() (time.Duration, error) {
			began := time.Now()
			err := pace(t.Context(), l)
			return time.Since(began), err
		}
		if waited, err := took(); err != nil || waited != 0 {
			t.Errorf("the first waits %v, %v", waited, err)
		}
		for range perSecond - 1 {
			l.Reserve() // others wait before it
		}
		if waited, err := took(); err != nil || waited != maxTurn {
			t.Errorf("at the ceiling it waits %v, %v", waited, err)
		}
		for range perSecond {
			l.Reserve()
		}
		waited, err := took()
		if tooFast, ok := errors.AsType[*tooFastError](err); !ok || waited != 0 || tooFast.after <= maxTurn {
			t.Errorf("above it, it waits %v, %v", waited, err)
		}
	})
}

func TestSessionsWhoseSpendingIsRememberedAreBounded(t *testing.T) {
	w := newWorld(t, setup{})
	session := try(w.vault.SessionByToken(t.Context(), string(w.opened.Token.Open())))(t)
	m := newMeters()
	first := m.of(session)
	for i := range maxMeters - 1 {
		m.byID.Add(time.Duration(i).String(), &meter{})
	}
	if m.of(session) != first || m.byID.Len() != maxMeters {
		t.Errorf("at the ceiling %d are remembered, the first among them: %v", m.byID.Len(), m.of(session) == first)
	}
	for i := range maxMeters {
		m.byID.Add("more "+time.Duration(i).String(), &meter{})
	}
	if m.of(session) == first || m.byID.Len() != maxMeters {
		t.Errorf("above it %d are remembered", m.byID.Len())
	}
}
