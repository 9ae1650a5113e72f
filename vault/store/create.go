package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Create makes a new file and fills it, or leaves nothing. The file grows under
// another name and gets its own by a link, which the kernel refuses when there is
// one already: no moment shows half a vault, and no vault is ever overwritten.
func Create(ctx context.Context, path string, fill func(*Tx) error) (err error) {
	growing := path + ".new"
	// The caller holds the folder's lock, so this is what a killed process left.
	discard(growing)
	defer discard(growing)

	f, err := os.OpenFile(growing, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create the vault: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create the vault: %w", err)
	}
	if err := build(ctx, growing, fill); err != nil {
		return fmt.Errorf("create the vault: %w", err)
	}
	if err := os.Link(growing, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return ErrExists
		}
		return fmt.Errorf("create the vault: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

func build(ctx context.Context, path string, fill func(*Tx) error) (err error) {
	steps, err := migrations()
	if err != nil {
		return err
	}
	db, err := connect(path, busyTimeout)
	if err != nil {
		return err
	}
	// Closing writes everything into the one file that the link will name.
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, pragma := range []string{
		fmt.Sprintf("page_size = %d", pageSize),
		fmt.Sprintf("application_id = %d", applicationID),
		"journal_mode = WAL",
	} {
		if _, err := db.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return explain(err)
		}
	}
	if err := migrate(ctx, db, steps); err != nil {
		return err
	}
	return (&DB{db: db}).Update(ctx, fill)
}

// discard removes a database and what SQLite puts beside it.
func discard(path string) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		_ = os.Remove(path + suffix)
	}
}

// syncFolder makes a new name in the folder outlive a power cut.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
