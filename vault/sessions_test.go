package vault

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/av-project/av/vault/store"
)

func TestSessionsInMemoryAreBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v := &Vault{o: Options{Now: func() time.Time { return now }}}
	defer v.sessions.closeAll()
	add := func(i int) *Session {
		row := store.Session{ID: fmt.Sprint(i), Expires: now.Add(time.Hour + time.Duration(i)*time.Second)}
		row.TokenHash[0], row.TokenHash[1] = byte(i), byte(i>>8)
		row.CertificateHash = row.TokenHash
		s, err := newSession(v, row, Grant{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v.sessions.add(s)
	}
	first := add(0)
	for i := 1; i < maxSessions; i++ {
		add(i)
	}
	if !first.Alive() {
		t.Fatal("closed below the bound")
	}
	add(maxSessions)
	if first.Alive() {
		t.Error("the one that expires first is still there")
	}
	if n, m := len(v.sessions.byID), len(v.sessions.byHandle); n != maxSessions || m != 2*maxSessions {
		t.Errorf("%d sessions, %d handles", n, m)
	}
}

func TestSameSessionIsTheSamePointer(t *testing.T) {
	v := &Vault{o: Options{Now: time.Now}}
	defer v.sessions.closeAll()
	row := store.Session{ID: "s", Expires: time.Now().Add(time.Hour)}
	var got [2]*Session
	for i := range got {
		s, err := newSession(v, row, Grant{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = v.sessions.add(s)
	}
	if got[0] != got[1] || !got[0].Alive() {
		t.Error("read twice, it is two")
	}
}

func TestValueLeavesMemoryWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c credentials
		c.put("A", opened{sealed: NewValue([]byte("1"))}, time.Now())
		time.Sleep(maxStale / 2)
		c.put("A", opened{sealed: NewValue([]byte("2"))}, time.Now())
		c.put("B", opened{sealed: NewValue([]byte("3"))}, time.Now())
		time.Sleep(maxStale * 3 / 4)
		if value, ok := c.get("A", time.Now()); !ok || string(value.sealed.Open()) != "2" {
			t.Error("what was read again is gone")
		}
		time.Sleep(maxStale)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.byKey) != 0 {
			t.Errorf("%d values are still there", len(c.byKey))
		}
	})
}

func TestCredentialsInMemoryAreBounded(t *testing.T) {
	var c credentials
	now := time.Now()
	for i := range 3 * maxCached {
		c.put(fmt.Sprint(i), opened{sealed: NewValue(nil)}, now)
		if len(c.byKey) > maxCached {
			t.Fatalf("%d values", len(c.byKey))
		}
	}
	last := fmt.Sprint(3*maxCached - 1)
	if _, ok := c.get(last, now); !ok {
		t.Error("the last one is not there")
	}
	if _, ok := c.get(last, now.Add(maxStale)); ok {
		t.Error("it outlives its time")
	}
}
