package store

import (
	"errors"
	"os"
	"testing"
)

func moved(t *testing.T, w *Watcher) bool {
	t.Helper()
	m, err := w.Moved(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWatcherSeesWhatOthersWriteAndNothingElse(t *testing.T) {
	path := newFile(t)
	db, other := open(t, path), open(t, path)
	w, err := db.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	n := byte(0)
	put := func(tx *Tx) error {
		n++ // SQLite writes nothing for what is there already
		return putSecret(tx, "v1", "n", []byte{n})
	}
	for range 3 {
		if moved(t, w) {
			t.Error("nobody wrote")
		}
	}
	for name, by := range map[string]*DB{"this process": db, "another": other} {
		if err := by.Update(t.Context(), put); err != nil {
			t.Fatal(err)
		}
		if a, b := moved(t, w), moved(t, w); !a || b {
			t.Errorf("%s wrote once, seen %v and %v", name, a, b)
		}
		if err := by.View(t.Context(), func(tx *Tx) error { _, err := tx.Secret("v1", "k", "n"); return err }); err != nil {
			t.Fatal(err)
		}
		if err := by.Update(t.Context(), func(tx *Tx) error { return errors.Join(put(tx), errors.New("no")) }); err == nil {
			t.Fatal("kept")
		}
		if moved(t, w) {
			t.Errorf("%s read, and wrote what it did not keep", name)
		}
	}
}

// What SQLite holds open is still read when it has lost its name; what is written there
// is lost.
func TestFileThatIsGoneOrReplacedIsNotUsedAnyMore(t *testing.T) {
	for name, do := range map[string]func(path, other string) error{
		"gone":     func(path, _ string) error { return os.Remove(path) },
		"replaced": func(path, other string) error { return os.Rename(other, path) },
	} {
		path := newFile(t)
		db := open(t, path)
		w, err := db.Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		nothing := func(*Tx) error { return nil }
		if err := errors.Join(db.View(t.Context(), nothing), db.Update(t.Context(), nothing)); err != nil || moved(t, w) {
			t.Fatal(err)
		}
		if err := do(path, newFile(t)); err != nil {
			t.Fatal(err)
		}
		_, lookErr := w.Moved(t.Context())
		for what, err := range map[string]error{"look": lookErr, "view": db.View(t.Context(), nothing), "update": db.Update(t.Context(), nothing)} {
			if !errors.Is(err, ErrGone) {
				t.Errorf("%s, %s: got %v", name, what, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWatcherThatFailedOnceMissesNothing(t *testing.T) {
	path := newFile(t)
	db := open(t, path)
	w, err := db.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Moved(t.Context()); !errors.Is(err, ErrGone) {
		t.Fatalf("got %v", err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if !moved(t, w) || moved(t, w) {
		t.Error("it does not say that it has not seen everything")
	}
}
