package vault

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/av-project/av/vault/policy"
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
	v.mirror.RLock()
	defer v.mirror.RUnlock()
	var row store.Session
	var services []policy.Service
	err := v.db.View(ctx, func(tx *store.Tx) (err error) {
		if row, err = h.find(tx, v.id); err != nil {
			return err
		}
		services, err = readServices(tx, v.id)
		return err
	})
	if errors.Is(err, store.ErrNoRow) {
		return nil, ErrNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("look for the session: %w", err)
	}
	if !row.Ended.IsZero() || !v.o.Now().Before(row.Expires) {
		return nil, ErrNoSession
	}
	var g Grant
	if err := json.Unmarshal([]byte(row.Policy), &g); err != nil {
		return nil, fmt.Errorf("session %s: %w: %v", row.ID, ErrCorrupt, err)
	}
	s, err := newSession(v, row, g, services)
	if err != nil {
		return nil, err
	}
	return v.sessions.add(s), nil
}
