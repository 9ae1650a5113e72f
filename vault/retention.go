package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/av-project/av/vault/store"
)

const (
	// settingRetention is the setting of the file that has a Retention.
	settingRetention = "retention"
	// tidyAfter is after how many new records the oldest are looked at.
	tidyAfter = 5000
	// tidyPiece is how many records one transaction removes: others want to write, too.
	tidyPiece = 5000

	minRetentionAge  = time.Minute
	maxRetentionAge  = 100 * 365 * 24 * time.Hour
	maxRetentionRows = 100_000_000
)

// Retention is how long records of requests stay: those of each vault of the file until
// they are older than Age, and no more than the newest Rows. The audit log stays whole.
type Retention struct {
	Age  time.Duration `json:"age"`
	Rows int           `json:"rows"`
}

func defaultRetention() Retention { return Retention{Age: 30 * 24 * time.Hour, Rows: 1_000_000} }

func (r Retention) String() string { return fmt.Sprintf("%v, %d rows", r.Age, r.Rows) }

func (r Retention) check() error {
	if r.Age < minRetentionAge || r.Age > maxRetentionAge {
		return &problem{"cannot keep records for " + r.Age.String(), "from 1m to 36500d can be said; 30d is the default"}
	}
	if r.Rows < 1 || r.Rows > maxRetentionRows {
		return &problem{fmt.Sprintf("cannot keep %d records", r.Rows), fmt.Sprintf("from 1 to %d can be said; 1000000 is the default", maxRetentionRows)}
	}
	return nil
}

// Retention is what the file's owner has chosen, or 30 days and a million rows.
func (v *Vault) Retention(ctx context.Context, c Caller) (r Retention, err error) {
	if err := v.authorise(c, RoleMember, "read the retention of records"); err != nil {
		return Retention{}, err
	}
	return v.retention(ctx)
}

func (v *Vault) retention(ctx context.Context) (r Retention, err error) {
	err = v.db.View(ctx, func(tx *store.Tx) error {
		text, err := tx.Setting(settingRetention)
		if errors.Is(err, store.ErrNoRow) {
			r = defaultRetention()
			return nil
		}
		if err != nil {
			return err
		}
		if json.Unmarshal([]byte(text), &r) != nil || r.check() != nil {
			return &problem{"what the vault says about the retention of records is not readable", "`av logs retention --age 30d --rows 1000000` says it anew"}
		}
		return nil
	})
	return r, err
}

// SetRetention chooses for all vaults of the file. What is too old or too much by it goes
// with the next records, or with RemoveSurplus.
func (v *Vault) SetRetention(ctx context.Context, c Caller, r Retention) error {
	set := func(tx *store.Tx) error {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return tx.SetSetting(settingRetention, string(text))
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, file: true, verb: "set the retention of records", objects: []string{r.String()}, keyless: true,
		prepare: func() (change, error) { return set, r.check() }})
}

// RemoveSurplus removes this vault's records that are too old or too many, and tells how
// many those were.
func (v *Vault) RemoveSurplus(ctx context.Context, c Caller) (removed int, err error) {
	if err := v.authorise(c, RoleAdmin, "remove records"); err != nil {
		return 0, err
	}
	for {
		n, err := v.removeSome(ctx)
		removed += n
		if err != nil || n < tidyPiece {
			return removed, err
		}
	}
}

// tidy is what the writer of records does now and then.
func (v *Vault) tidy(ctx context.Context) (more bool, err error) {
	n, err := v.removeSome(ctx)
	return n == tidyPiece, err
}

func (v *Vault) removeSome(ctx context.Context) (n int, err error) {
	r, err := v.retention(ctx)
	if err != nil {
		return 0, err
	}
	var bound store.Bound
	err = v.db.View(ctx, func(tx *store.Tx) (err error) {
		bound, err = tx.Surplus(v.id, v.o.Now().Add(-r.Age), r.Rows)
		return err
	})
	if errors.Is(err, store.ErrNoRow) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	err = v.db.Update(ctx, func(tx *store.Tx) error {
		gone, err := tx.RemoveSurplus(v.id, bound, tidyPiece)
		n = int(gone)
		return err
	})
	return n, err
}
