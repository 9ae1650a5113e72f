package store

import (
	"context"
	"database/sql"
	"errors"
)

// Watcher asks, over and over, whether anybody has written to the file: one number,
// whatever the file holds. It is for one goroutine.
type Watcher struct {
	of   *DB
	db   *sql.DB
	conn *sql.Conn // the number means something on one connection only
	last int64
}

// Watch begins to watch. Its connection is its own and waits for nobody: who watches
// asks again soon, and has to know how long it has seen nothing.
func (d *DB) Watch(ctx context.Context) (*Watcher, error) {
	db, err := connect(d.path, 0)
	if err != nil {
		return nil, err
	}
	w := &Watcher{of: d, db: db}
	if _, err := w.Moved(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Moved tells whether anybody, in this process or another, has written since it was
// last asked. After an error it says yes, once: nobody knows what it did not see.
func (w *Watcher) Moved(ctx context.Context) (moved bool, err error) {
	if err := w.of.here(); err != nil {
		return false, errors.Join(err, w.drop())
	}
	if w.conn == nil {
		if w.conn, err = w.db.Conn(ctx); err != nil {
			return false, explain(err)
		}
		moved = true
	}
	var version int64
	if err := w.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
		return false, errors.Join(explain(err), w.drop())
	}
	moved = moved || version != w.last
	w.last = version
	return moved, nil
}

// View is [DB.View] on the watcher's own connection.
func (w *Watcher) View(ctx context.Context, do func(*Tx) error) error {
	if w.conn == nil {
		return errors.New("the last look has failed")
	}
	return transact(ctx, w.conn, &sql.TxOptions{ReadOnly: true}, do)
}

func (w *Watcher) drop() error {
	if w.conn == nil {
		return nil
	}
	conn := w.conn
	w.conn = nil
	return conn.Close()
}

// Close gives the connection back.
func (w *Watcher) Close() error { return errors.Join(w.drop(), w.db.Close()) }
