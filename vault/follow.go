package vault

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// followPiece is how many rows one look at new records goes through.
const followPiece = 1000

// Filter says which records are meant. What is zero does not matter.
type Filter struct {
	Run string
	// Host is a host, or "*." and a domain: any one label in its place.
	Host   string
	Denied bool
	Since  time.Time
	// Limit is how many, of the newest; 0 is 1,000.
	Limit int
}

func (f Filter) query() (q store.Query, limit int, err error) {
	domain, wild := strings.CutPrefix(f.Host, "*.")
	if f.Host != "" {
		if domain, err = policy.ParseHostPattern(domain); err != nil {
			return q, 0, err
		}
	}
	if wild {
		domain = "*." + domain
	}
	if limit = f.Limit; limit <= 0 {
		limit = maxRequests
	}
	return store.Query{Run: f.Run, Host: domain, Denied: f.Denied, Since: f.Since}, limit, nil
}

// Records are those that f means, the oldest first.
func (v *Vault) Records(ctx context.Context, c Caller, f Filter) ([]Entry, error) {
	q, limit, err := v.ask(ctx, c, f)
	if err != nil {
		return nil, err
	}
	return v.newest(ctx, q, limit)
}

// ask checks who asks for what, and waits for what is about to be written.
func (v *Vault) ask(ctx context.Context, c Caller, f Filter) (q store.Query, limit int, err error) {
	if err := v.authorise(c, RoleMember, "read records"); err != nil {
		return q, 0, err
	}
	if q, limit, err = f.query(); err != nil {
		return q, 0, err
	}
	_, err = v.records.flush(ctx)
	return q, limit, err
}

// Follow shows what Records returns, and then what this process and others record, until
// ctx ends, which is no error. A row is shown once, as it is when it is first seen.
func (v *Vault) Follow(ctx context.Context, c Caller, f Filter, show func([]Entry) error) error {
	q, limit, err := v.ask(ctx, c, f)
	if err != nil {
		return err
	}
	// Before the first look: what is written after that look is seen by the next.
	eye, err := v.db.Watch(ctx)
	if err != nil {
		return err
	}
	t := &tail{vault: v, eye: eye, query: q, show: show}
	err = t.follow(ctx, limit)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, eye.Close())
}

// tail is one who follows.
type tail struct {
	vault *Vault
	eye   *store.Watcher
	query store.Query
	show  func([]Entry) error
}

func (t *tail) follow(ctx context.Context, limit int) error {
	if err := t.begin(ctx, limit); err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	stale := false // rows were written that are not shown yet
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		moved, err := t.eye.Moved(ctx)
		if stale = stale || moved; err == nil && stale {
			err = t.more(ctx)
			stale = err != nil
		}
		if err != nil && !errors.Is(err, store.ErrBusy) {
			return err
		}
	}
}

func (t *tail) begin(ctx context.Context, limit int) error {
	var list []Entry
	err := t.vault.db.View(ctx, func(tx *store.Tx) (err error) {
		if list, err = tx.Entries(t.vault.id, t.query, limit); err != nil {
			return err
		}
		t.query.After, err = tx.LastEntry()
		return err
	})
	if err != nil {
		return err
	}
	return t.show(list)
}

// more shows the rows that are new, a piece at a time.
func (t *tail) more(ctx context.Context) error {
	for {
		var list []Entry
		var last int64
		err := t.vault.db.View(ctx, func(tx *store.Tx) (err error) {
			if last, err = tx.LastEntry(); err != nil {
				return err
			}
			q := t.query
			q.UpTo = min(q.After+followPiece, last)
			if q.UpTo > q.After {
				list, err = tx.Entries(t.vault.id, q, followPiece)
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(list) > 0 {
			if err := t.show(list); err != nil {
				return err
			}
		}
		t.query.After = min(t.query.After+followPiece, last)
		if t.query.After >= last {
			return nil
		}
	}
}
