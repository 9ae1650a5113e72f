package seal

import (
	"bytes"
	"errors"
	"testing"
)

func TestRewrappedKeyOpensWithTheSameWrappingKey(t *testing.T) {
	old, next := NewKey(), NewKey()
	w, err := wrapWith(weak(), old, []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	kek, err := w.Derive([]byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Rewrap(next, kek)
	if err != nil || again.Method != w.Method || bytes.Equal(again.Box, w.Box) {
		t.Fatalf("%+v, %v", again, err)
	}
	if got, err := again.OpenWithPassword([]byte("right")); err != nil || !bytes.Equal(got.reveal(), next.reveal()) {
		t.Fatalf("got another key, %v", err)
	}
	if got, err := w.OpenWithKey(kek); err != nil || !bytes.Equal(got.reveal(), old.reveal()) {
		t.Fatalf("the one before: got another key, %v", err)
	}
}

// It would lock out everybody who has the right one.
func TestWrongWrappingKeyDoesNotRewrap(t *testing.T) {
	w, err := wrapWith(weak(), NewKey(), []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := w.Derive([]byte("wrong"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rewrap(NewKey(), wrong); !errors.Is(err, ErrOpen) {
		t.Fatalf("got %v", err)
	}
	if _, err := w.Rewrap(NewKey(), Key{}); err == nil {
		t.Fatal("no key at all did")
	}
}

// A file of an older version keeps its parameters until its password is changed.
func TestNewPasswordRaisesWeakParameters(t *testing.T) {
	data := NewKey()
	for _, c := range []struct{ passes, memory, wantPasses, wantMemory uint32 }{
		{1, 64, passes, memory},
		{1, 2 * memory, passes, 2 * memory}, // more of one thing than ours: not lowered
		{passes + 1, 64, passes + 1, memory},
		{passes, memory, passes, memory},
	} {
		p := weak()
		p.passes, p.memory = c.passes, c.memory
		w := Wrapped{Method: p.String()}
		next, kek, err := w.WithPassword(data, []byte("new"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseParameters(next.Method)
		if err != nil || got.passes != c.wantPasses || got.memory != c.wantMemory || got.lanes != lanes || bytes.Equal(got.salt, p.salt) {
			t.Errorf("%s became %s, %v", w.Method, next.Method, err)
		}
		for _, open := range []func() (Key, error){
			func() (Key, error) { return next.OpenWithKey(kek) },
			func() (Key, error) { return next.OpenWithPassword([]byte("new")) },
		} {
			if k, err := open(); err != nil || !bytes.Equal(k.reveal(), data.reveal()) {
				t.Errorf("%s: another key, %v", next.Method, err)
			}
		}
	}
}

func TestKeyFileGivesWayToAPassword(t *testing.T) {
	data, kek := NewKey(), NewKey()
	w, err := WrapWithKey(data, kek)
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := w.WithPassword(data, []byte("new"))
	if err != nil || !next.NeedsPassword() {
		t.Fatalf("%+v, %v", next, err)
	}
	if _, err := next.OpenWithKey(kek); !errors.Is(err, ErrOpen) {
		t.Fatalf("the key file still opens it: %v", err)
	}
	for _, bad := range []Wrapped{{Method: "argon2id"}, {Method: ""}} {
		if _, _, err := bad.WithPassword(data, []byte("new")); err == nil {
			t.Errorf("%q: accepted", bad.Method)
		}
		if _, err := bad.Derive([]byte("new")); err == nil {
			t.Errorf("%q: derived", bad.Method)
		}
	}
	if _, _, err := w.WithPassword(data, nil); err == nil {
		t.Error("an empty password was taken")
	}
}

// The price of one guess at a password, and of one unlocking.
func BenchmarkDerive(b *testing.B) {
	w := Wrapped{Method: newParameters().String()}
	for b.Loop() {
		if _, err := w.Derive([]byte("correct horse battery staple")); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(memory)/1024, "MiB/guess")
}
