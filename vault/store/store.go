// Package store keeps the vault's rows in one SQLite file. It knows no keys and
// judges no caller: what is secret comes in sealed, and a transaction happens whole
// or not at all, whatever happens to the process or the machine.
package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver
)

const (
	// applicationID marks the file as ours, in SQLite's header: "avlt".
	applicationID = 0x61766c74
	// pageSize is SQLite's unit of the file, and what create sets.
	pageSize = 4096
	// busyTimeout is how long a writer waits for another process's transaction.
	// Transactions take milliseconds; a user should never see this one end.
	busyTimeout = 30 * time.Second
	// maxConnections bounds readers beside the one writer.
	maxConnections = 4
)

// DB is an open file.
type DB struct {
	db *sql.DB
	// path and file are where it was opened and what was there then.
	path string
	file os.FileInfo
	done func() error // gives back the look at the file's header
	// writing lets one transaction of this process write at a time: SQLite's own
	// waiting is a poll, and unfair.
	writing sync.Mutex
}

// Open opens an existing file. It looks before SQLite does, because SQLite would
// take an empty file for an empty database and begin to fill it.
func Open(ctx context.Context, path string) (_ *DB, err error) {
	file, done, err := checkFile(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, done())
		}
	}()
	steps, err := migrations()
	if err != nil {
		return nil, err
	}
	db, err := connect(path, busyTimeout)
	if err != nil {
		return nil, err
	}
	err = migrate(ctx, db, steps)
	if err == nil {
		err = checkSchema(ctx, db)
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &DB{db: db, path: path, file: file, done: done}, nil
}

// here refuses to go on when the file has lost its name, or another has taken it: what
// SQLite holds open would still be read, and what is written there is lost.
func (d *DB) here() error {
	if d.file == nil {
		return nil // it is being created under another name
	}
	now, err := os.Stat(d.path)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrGone, err)
	}
	if !os.SameFile(now, d.file) {
		return fmt.Errorf("%w: there is another at %s", ErrGone, d.path)
	}
	return nil
}

// checkFile refuses a file that is not there, not ours alone, or no vault. done is called
// when the file is no longer used.
func checkFile(path string) (file os.FileInfo, done func() error, err error) {
	folders := []string{filepath.Dir(path)}
	if file, err := filepath.EvalSymlinks(path); err == nil {
		// Through a link, SQLite's log lies elsewhere.
		folders = append(folders, filepath.Dir(file))
	}
	for _, p := range append(folders, path) {
		err := checkAccess(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%w in %s", ErrNotExist, filepath.Dir(path))
		}
		if err != nil {
			return nil, nil, err
		}
	}
	f, done, err := glanceAt(path)
	if err != nil {
		return nil, nil, err
	}
	if file, err = checkHeader(f, path); err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return file, done, nil
}

func checkHeader(f *os.File, path string) (os.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var header [100]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return nil, fmt.Errorf("open %s: %w: it is shorter than its header", path, ErrCorrupt)
	}
	if !bytes.HasPrefix(header[:], []byte("SQLite format 3\x00")) ||
		binary.BigEndian.Uint32(header[68:]) != applicationID {
		return nil, fmt.Errorf("open %s: %w: its header is another", path, ErrCorrupt)
	}
	// SQLite finds missing pages, but takes a page cut short for one that ends in
	// zeroes.
	if info.Size()%pageSize != 0 {
		return nil, fmt.Errorf("open %s: %w: it ends within a page", path, ErrCorrupt)
	}
	return info, nil
}

// connect prepares connections. Each transaction that may write takes the write lock
// when it begins: one that read first would find the file changed under it, and
// SQLite answers that with "database is locked" at once, however long the timeout.
func connect(path string, busy time.Duration) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"mode":          {"rw"},
		"_busy_timeout": {strconv.FormatInt(busy.Milliseconds(), 10)},
		"_foreign_keys": {"on"},
		"_synchronous":  {"full"},
		"_txlock":       {"immediate"},
		"_dqs":          {"false"},
		"_defensive":    {"true"},
		"_error_rc":     {"true"},
		// Else INSERT OR REPLACE would get past the audit table's trigger.
		// And what is deleted is overwritten: a key that was changed, or a value that was
		// removed, shall not lie in a free corner of the file.
		// And what stands in the schema may call nothing that acts outside of the file.
		// And a page is checked when it is read: one damaged bit there hid a whole row.
		"_pragma": {"recursive_triggers(on)", "secure_delete(on)", "trusted_schema(off)", "cell_size_check(on)"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	return db, nil
}

// Close waits for transactions under way.
func (d *DB) Close() error {
	err := d.db.Close()
	if d.done != nil {
		err = errors.Join(err, d.done())
	}
	return err
}

// View runs do on one state of the file, whatever others write meanwhile.
func (d *DB) View(ctx context.Context, do func(*Tx) error) error {
	return d.transact(ctx, &sql.TxOptions{ReadOnly: true}, do)
}

// Update runs do, and keeps what it did if it returns nil; else nothing of it.
func (d *DB) Update(ctx context.Context, do func(*Tx) error) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.transact(ctx, nil, do)
}

func (d *DB) transact(ctx context.Context, o *sql.TxOptions, do func(*Tx) error) error {
	if err := d.here(); err != nil {
		return err
	}
	return transact(ctx, d.db, o, do)
}

// beginner is a database or one connection to it.
type beginner interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}

func transact(ctx context.Context, b beginner, o *sql.TxOptions, do func(*Tx) error) error {
	tx, err := b.BeginTx(ctx, o)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(&Tx{ctx: ctx, tx: tx}); err != nil {
		return explain(err)
	}
	return explain(tx.Commit())
}

// Tx is a transaction. Its methods are the only SQL of the program.
type Tx struct {
	ctx context.Context // of the transaction, which ends with it
	tx  *sql.Tx
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	r, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, explain(err)
	}
	return r.RowsAffected()
}

// row scans the one row of a query into what is given; ErrNoRow if there is none.
func (t *Tx) row(query string, args []any, into ...any) error {
	err := t.tx.QueryRowContext(t.ctx, query, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoRow
	}
	return explain(err)
}

// collect scans each row of a query with one.
func collect[T any](t *Tx, one func(scan func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		x, err := one(rows.Scan)
		if err != nil {
			return nil, explain(err)
		}
		all = append(all, x)
	}
	return all, explain(rows.Err())
}

// nanos and moment are how a time stands in a row.
func nanos(t time.Time) int64 { return t.UnixNano() }

func moment(n int64) time.Time { return time.Unix(0, n).UTC() }
