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

// Session is the one with that id.
func (t *Tx) Session(vault, id string) (Session, error) {
	return t.session("WHERE vault_id = ? AND id = ?", vault, id)
}

func (t *Tx) session(where string, args ...any) (s Session, err error) {
	err = s.scan(func(into ...any) error { return t.row(sessionColumns+where, args, into...) })
	return s, err
}

func (s *Session) scan(scan func(...any) error) error {
	var token, certificate []byte
	var created, expires int64
	var ended sql.NullInt64
	err := scan(&s.ID, &s.Run, &token, &certificate, &s.Policy, &created, &expires, &ended)
	if err != nil {
		*s = Session{}
		return err
	}
	copy(s.TokenHash[:], token)
	copy(s.CertificateHash[:], certificate)
	s.Created, s.Expires = moment(created), moment(expires)
	if ended.Valid {
		s.Ended = moment(ended.Int64)
	}
	return nil
}

func scanSession(scan func(...any) error) (s Session, err error) {
	err = s.scan(scan)
	return s, err
}

// Sessions are all sessions of a vault, newest first.
func (t *Tx) Sessions(vault string) ([]Session, error) {
	return collect(t, scanSession, sessionColumns+"WHERE vault_id = ? ORDER BY created DESC, id", vault)
}

// OpenSessions are those that have neither ended nor expired, newest first.
func (t *Tx) OpenSessions(vault string, now time.Time) ([]Session, error) {
	return collect(t, scanSession, sessionColumns+"WHERE vault_id = ? AND ended IS NULL AND expires > ? ORDER BY created DESC, id",
		vault, nanos(now))
}

// ForgetSessions removes the sessions that ended or expired before then, and the secrets of
// a kind that have the id of a session which is not there.
func (t *Tx) ForgetSessions(vault, kind string, then time.Time) error {
	_, err := t.exec("DELETE FROM sessions WHERE vault_id = ? AND min(expires, coalesce(ended, expires)) < ?", vault, nanos(then))
	if err != nil {
		return err
	}
	_, err = t.exec("DELETE FROM secrets WHERE vault_id = ? AND kind = ? AND name NOT IN (SELECT id FROM sessions WHERE vault_id = ?)",
		vault, kind, vault)
	return err
}

// RenewSession changes when a session expires. It returns ErrNoRow if there is none, or it
// has ended.
func (t *Tx) RenewSession(vault, id string, until time.Time) error {
	n, err := t.exec("UPDATE sessions SET expires = ? WHERE vault_id = ? AND id = ? AND ended IS NULL", nanos(until), vault, id)
	if err == nil && n == 0 {
		return ErrNoRow
	}
	return err
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
