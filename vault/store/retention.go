package store

import (
	"errors"
	"time"
)

// Setting is what the file says under a name; ErrNoRow if it says nothing.
func (t *Tx) Setting(name string) (value string, err error) {
	err = t.row("SELECT value FROM settings WHERE name = ?", []any{name}, &value)
	return value, err
}

func (t *Tx) SetSetting(name, value string) error {
	_, err := t.exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

// Bound is the last record, by time and then by row, of those that are to go.
type Bound struct{ at, id int64 }

// Surplus finds the records from before then, and those beyond the newest rows. It
// returns ErrNoRow if there are none.
func (t *Tx) Surplus(vault string, then time.Time, rows int) (b Bound, err error) {
	err = t.row("SELECT at, id FROM requests WHERE vault_id = ? ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?", []any{vault, rows}, &b.at, &b.id)
	if err != nil && !errors.Is(err, ErrNoRow) {
		return b, err
	}
	if cut := nanos(then); err != nil || b.at < cut {
		b = Bound{at: cut} // before every row of that time
	}
	var first int64
	err = t.row("SELECT id FROM requests WHERE "+surplus+" LIMIT 1", b.args(vault), &first)
	return b, err
}

// RemoveSurplus removes up to limit records, the oldest first, and tells how many.
func (t *Tx) RemoveSurplus(vault string, b Bound, limit int) (n int64, err error) {
	return t.exec("DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE "+surplus+" ORDER BY at, id LIMIT ?)", append(b.args(vault), limit)...)
}

// The newest row of the file stays, or its number would be given again, and whoever
// follows the records goes by their numbers.
const surplus = "vault_id = ? AND (at, id) <= (?, ?) AND id < (SELECT max(id) FROM requests)"

func (b Bound) args(vault string) []any { return []any{vault, b.at, b.id} }
