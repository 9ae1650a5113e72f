package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/av-project/av/vault/store"
)

// RenewSession makes a session last for another 24 hours from now on, and tells until when. So a session need not be given as long as its run may take, and a run that
// has died does not have it for longer. One that has expired meanwhile, because the machine
// slept, say, is alive again; one that has ended is not: ErrNoSession.
func (v *Vault) RenewSession(ctx context.Context, c Caller, id string) (until time.Time, err error) {
	prepare := func() (change, error) {
		key, err := v.dataKey(ctx)
		if err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error {
			row, err := tx.Session(v.id, id)
			if err == nil && !row.Ended.IsZero() {
				err = store.ErrNoRow
			}
			if err == nil {
				// What nobody sealed is not sealed now.
				err = v.soundSession(tx, key, row)
			}
			if errors.Is(err, store.ErrNoRow) {
				return ErrNoSession
			}
			if err != nil {
				return err
			}
			now := v.o.Now()
			row.Expires = now.Add(defaultTTL)
			until = row.Expires
			box, err := key.Seal(sessionPlace(v.id, row), nil)
			if err != nil {
				return err
			}
			return errors.Join(
				tx.RenewSession(v.id, id, row.Expires),
				tx.SetSecretRow(v.id, kindSession, store.Secret{Name: id, Sealed: box, Meta: sessionDigest(row), Created: row.Created, Updated: now}),
			)
		}, nil
	}
	err = v.do(ctx, act{caller: c, need: RoleAdmin, verb: "renew session", objects: []string{id}, prepare: prepare,
		mirror: func() { v.sessions.renew(id, until) }})
	if err != nil {
		return time.Time{}, fmt.Errorf("renew the session: %w", err)
	}
	return until, nil
}

// renew makes the one in memory last longer too. If it has closed already, the next who
// asks for it reads it again.
func (l *sessions) renew(id string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.byID[id]; s != nil {
		s.renew(until)
	}
}
