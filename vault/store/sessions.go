package store

import (
	"database/sql"
	"time"
)

// Session is a session's row. Of its token and its certificate only the SHA-256 is
// there: a thief of the file cannot use a session.
type Session struct {
	ID, Run                    string
	TokenHash, CertificateHash [32]byte
	Policy                     string // JSON
	Created, Expires           time.Time
	Ended                      time.Time // zero while it is open
}

func (t *Tx) AddSession(vault string, s Session) error {
	_, err := t.exec(`INSERT INTO sessions (id, vault_id, run, token_hash, certificate_hash, policy, created, expires)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		s.ID, vault, s.Run, s.TokenHash[:], s.CertificateHash[:], s.Policy, nanos(s.Created), nanos(s.Expires))
	return err
}

const sessionColumns = `SELECT id, run, token_hash, certificate_hash, policy, created, expires, ended FROM sessions `

func (t *Tx) SessionByTokenHash(vault string, hash [32]byte) (Session, error) {
	return t.session("WHERE vault_id = ? AND token_hash = ?", vault, hash[:])
}

func (t *Tx) SessionByCertificateHash(vault string, hash [32]byte) (Session, error) {
	return t.session("WHERE vault_id = ? AND certificate_hash = ?", vault, hash[:])
}

func (t *Tx) session(where string, args ...any) (s Session, err error) {
	var token, certificate []byte
	var created, expires int64
	var ended sql.NullInt64
	err = t.row(sessionColumns+where, args, &s.ID, &s.Run, &token, &certificate, &s.Policy, &created, &expires, &ended)
	if err != nil {
		return Session{}, err
	}
	copy(s.TokenHash[:], token)
	copy(s.CertificateHash[:], certificate)
	s.Created, s.Expires = moment(created), moment(expires)
	if ended.Valid {
		s.Ended = moment(ended.Int64)
	}
	return s, nil
}

// EndSession returns ErrNoRow if there is no such session, or it has ended.
func (t *Tx) EndSession(vault, id string, now time.Time) error {
	n, err := t.exec("UPDATE sessions SET ended = ? WHERE vault_id = ? AND id = ? AND ended IS NULL", nanos(now), vault, id)
	if err == nil && n == 0 {
		return ErrNoRow
	}
	return err
}

// EndRun ends the sessions of a run that are still open, and returns their ids.
func (t *Tx) EndRun(vault, run string, now time.Time) ([]string, error) {
	return collect(t, func(scan func(...any) error) (id string, err error) {
		err = scan(&id)
		return id, err
	}, "UPDATE sessions SET ended = ? WHERE vault_id = ? AND run = ? AND ended IS NULL RETURNING id", nanos(now), vault, run)
}
