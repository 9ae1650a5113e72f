package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// SessionByToken finds the session of a token. The token itself is compared with
// nothing: its hash is looked up, so how long the answer takes says nothing about it.
func (v *Vault) SessionByToken(ctx context.Context, token string) (*Session, error) {
	return v.session(ctx, handle{byToken, sha256.Sum256([]byte(token))})
}

// SessionByCertificate finds the session of a client certificate. The caller has
// seen, in the TLS handshake, that the peer has its key.
func (v *Vault) SessionByCertificate(ctx context.Context, der []byte) (*Session, error) {
	return v.session(ctx, handle{byCertificate, sha256.Sum256(der)})
}

func (h handle) find(tx *store.Tx, vault string) (store.Session, error) {
	if h.kind == byCertificate {
		return tx.SessionByCertificateHash(vault, h.hash)
	}
	return tx.SessionByTokenHash(vault, h.hash)
}

// session returns the one in memory, or reads it into memory.
func (v *Vault) session(ctx context.Context, h handle) (*Session, error) {
	if s := v.sessions.get(h); s != nil {
		return s, nil
	}
	// Before the rows are read: what changes from here on is seen.
	err := v.watch(ctx)
	if errors.Is(err, store.ErrNoRow) {
		return nil, ErrNoSession // the whole vault is gone
	}
	if err != nil {
		return nil, fmt.Errorf("look for the session: %w", err)
	}
	// Nobody is asked for a password because of a token that opens nothing.
	err = v.db.View(ctx, func(tx *store.Tx) error {
		_, err := v.openRowOf(tx, h)
		return err
	})
	if errors.Is(err, store.ErrNoRow) {
		return nil, ErrNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("look for the session: %w", err)
	}
	var s *Session
	err = v.view(ctx, func(tx *store.Tx, key seal.Key) (err error) {
		s, err = v.readSession(tx, key, h)
		return err
	})
	if errors.Is(err, store.ErrNoRow) {
		return nil, ErrNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("look for the session: %w", err)
	}
	return s, nil
}

// openRowOf is the row of a session that has neither ended nor expired.
func (v *Vault) openRowOf(tx *store.Tx, h handle) (store.Session, error) {
	row, err := h.find(tx, v.id)
	if err == nil && (!row.Ended.IsZero() || !v.o.Now().Before(row.Expires)) {
		err = store.ErrNoRow
	}
	return row, err
}

// readSession reads one into memory.
func (v *Vault) readSession(tx *store.Tx, key seal.Key, h handle) (*Session, error) {
	row, err := v.openRowOf(tx, h)
	if err != nil {
		return nil, err
	}
	if err := v.soundSession(tx, key, row); err != nil {
		return nil, err
	}
	services, err := v.soundServices(tx, key)
	if err != nil {
		return nil, err
	}
	g, err := readGrant(row)
	if err != nil {
		return nil, err
	}
	s, err := newSession(v, row, g, services)
	if err != nil {
		return nil, err
	}
	return v.sessions.add(s), nil
}
