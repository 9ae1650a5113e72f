package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// problem is an error with the next step for the person who reads it.
type problem struct{ text, hint string }

func (p *problem) Error() string { return p.text }
func (p *problem) Hint() string  { return p.hint }

var (
	ErrNotExist error = &problem{"there is no vault yet", "make one with `av init`"}
	ErrExists   error = &problem{"there is a vault already", "use it as it is, or set AV_HOME to another folder"}
	ErrNewer    error = &problem{"the vault was written by a newer version of av", "update av"}
	ErrCorrupt  error = &problem{"the vault's file is damaged or not a vault", "restore vault.db from a backup, or move it away and run `av init`"}
	ErrBusy     error = &problem{"another av process keeps the vault busy", "try again"}
	ErrFull     error = &problem{"there is no space left for the vault", "free some space in AV_HOME"}
	ErrReadOnly error = &problem{"the vault cannot be written", "make AV_HOME and the files in it writable for you alone"}
	// ErrNoVault is about a vault of the file that is not there, or no longer.
	ErrNoVault error = &problem{"there is no such vault", "`av vault list` shows those there are"}
	// ErrGone is for a file that is no longer the one that was opened.
	ErrGone error = &problem{"the vault's file was moved away or replaced while it was open", "start av again"}
	// ErrAccess is what all errors about the owner or the mode of a file are.
	ErrAccess error = errors.New("refusing the vault's files")
	// ErrNoRow is what a look-up answers that found nothing.
	ErrNoRow = errors.New("no such row")
)

// accessError says which file is not ours alone, and what to do about it.
type accessError struct{ text, hint string }

func (e *accessError) Error() string { return e.text }
func (e *accessError) Hint() string  { return e.hint }
func (e *accessError) Unwrap() error { return ErrAccess }

// advise does for the system's errors about a file what explain does for SQLite's.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// explain turns SQLite's codes into errors that say what to do. The original stays
// in the text: it names the operation.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		// A column holds what its table does not allow; database/sql has no type for that
		// error, and its text repeats what stands there.
		if err != nil && strings.HasPrefix(err.Error(), "sql: Scan error") {
			return fmt.Errorf("%w: a row holds something that it cannot", ErrCorrupt)
		}
		return err
	}
	if e.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY {
		return fmt.Errorf("%w", ErrNoVault) // every foreign key of the schema is a vault's id
	}
	switch e.Code() & 0xff { // the primary code; the rest says where it came from
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT:
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w", ErrBusy)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w", ErrFull)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w: %v", ErrReadOnly, err)
	case sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%w: %v", context.Canceled, err)
	}
	return err
}
