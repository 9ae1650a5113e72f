package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Readers beside the one writer are so many, and the next waits for one of them.
func TestConnectionsToTheFileAreBounded(t *testing.T) {
	db := open(t, newFile(t))
	begun, release := make(chan struct{}, maxConnections+1), make(chan struct{})
	read := make(chan error, maxConnections+1)
	reader := func() {
		read <- db.View(t.Context(), func(*Tx) error { begun <- struct{}{}; <-release; return nil })
	}
	for range maxConnections {
		go reader()
	}
	for range maxConnections {
		<-begun
	}
	go reader()
	late := time.Now().Add(10 * time.Second)
	for db.db.Stats().WaitCount == 0 && time.Now().Before(late) {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-begun:
		t.Error("one more reads beside them")
	default:
	}
	if s := db.db.Stats(); s.InUse != maxConnections || s.WaitCount != 1 {
		t.Errorf("%d in use, %d wait", s.InUse, s.WaitCount)
	}
	close(release) // and its turn comes
	for range maxConnections + 1 {
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
}

// What is behind the bound is not read: it is in no key file.
func TestKeyFileIsReadUpToItsCeiling(t *testing.T) {
	for size, want := range map[int]int{maxKeyFile: maxKeyFile, maxKeyFile + 1: maxKeyFile, 1 << 20: maxKeyFile} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadKeyFile(path); err != nil || len(got) != want {
			t.Errorf("%d bytes: %d are read, %v", size, len(got), err)
		}
	}
}

// Whoever writes the file could put in a row at the end of all numbers. Ours go on
// behind the last that is in reach.
func TestAuditRowOutOfReachLeavesRoomForTheNext(t *testing.T) {
	for _, c := range []struct {
		planted, want int64
	}{{maxAuditID - 2, maxAuditID - 1}, {maxAuditID, 1}} {
		db := open(t, newFile(t))
		err := db.Update(t.Context(), func(tx *Tx) error {
			_, err := tx.exec("INSERT INTO audit (id, vault_id, at, caller, role, act, object, error, hash) VALUES (?, 'v1', 0, '', '', '', '', '', x'')", c.planted)
			return errors.Join(err, tx.AddAudit("v1", Audit{Time: start, Act: "ours"}))
		})
		var rows []Audit
		err = errors.Join(err, db.View(context.Background(), func(tx *Tx) (err error) {
			rows, err = tx.Audits("", 10)
			return err
		}))
		var got int64
		for _, r := range rows {
			if r.Act == "ours" {
				got = r.ID
			}
		}
		if err != nil || got != c.want {
			t.Errorf("behind row %d ours is %d, want %d; %v", c.planted, got, c.want, err)
		}
	}
}
