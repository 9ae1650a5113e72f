package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// wipeTimeout is how long a wipe waits for those who still read an older state.
const wipeTimeout = 2 * time.Second

// Wipe brings the write-ahead log into the file and cuts it off. Before it, the log and
// the pages that the log is to replace still hold what rows said earlier, such as a key
// wrapped under an old password. While somebody reads an older state it cannot be done,
// and the next writer's checkpoint does most of it.
func (d *DB) Wipe(ctx context.Context) (err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	timeout := func(t time.Duration) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", t.Milliseconds()))
		return explain(err)
	}
	if err := timeout(wipeTimeout); err != nil {
		return err
	}
	var busy, frames, done int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &done)
	err = errors.Join(explain(err), timeout(busyTimeout))
	if err == nil && busy != 0 {
		return ErrBusy
	}
	return err
}
