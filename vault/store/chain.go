package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrAudit is what every error about the chain of audit rows is.
var ErrAudit error = &problem{"the audit log was changed", "rows from the one named on are no evidence; keep a copy of vault.db, and find out who else can write it"}

// Link is where the chain of audit rows stands: a row's id and its hash. The zero Link
// is where it begins.
type Link struct {
	ID   int64
	Hash [32]byte
}

// next is the link of the row that follows. Its hash covers the hash before it, so one
// row cannot be changed, moved or left out without changing all that follow; and each
// field after its length, so that nothing moves from one field to the next.
func (l Link) next(vault string, at int64, a Audit) Link {
	b := []byte("av audit\x00")
	b = append(b, l.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(l.ID+1))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	for _, field := range []string{vault, a.Caller, a.Role, a.Act, a.Object, a.Error} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return Link{l.ID + 1, sha256.Sum256(b)}
}

// Marshal and ParseLink are a link as it is sealed.
func (l Link) Marshal() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(l.ID)), l.Hash[:]...)
}

func ParseLink(b []byte) (l Link, err error) {
	if len(b) != 8+len(l.Hash) {
		return l, fmt.Errorf("%w: its seal holds something else", ErrAudit)
	}
	l.ID = int64(binary.BigEndian.Uint64(b))
	copy(l.Hash[:], b[8:])
	return l, nil
}

// chained is a row of the audit table as it stands there.
type chained struct {
	id, at int64
	vault  string
	Audit
	hash []byte
}

// follows tells whether r is the row that was written after l, and returns its link.
func (r chained) follows(l Link) (Link, error) {
	next := l.next(r.vault, r.at, r.Audit)
	switch {
	case r.id > next.ID:
		return l, fmt.Errorf("%w: row %d is missing", ErrAudit, next.ID)
	case r.id < next.ID:
		return l, fmt.Errorf("%w: row %d was put in", ErrAudit, r.id)
	case !bytes.Equal(r.hash, next.Hash[:]):
		return l, fmt.Errorf("%w: row %d is not the one that was written", ErrAudit, r.id)
	}
	return next, nil
}

// Follow walks the rows after from, one at a time however many there are, and returns
// the last. Its error names the first row that does not follow from the one before it.
// each, if it is not nil, sees every link and its row.
func (t *Tx) Follow(from Link, each func(Link, Audit) error) (Link, error) {
	first := from.ID + 1
	if from.ID == 0 {
		first = math.MinInt64 // or a row that was put in before the first would be overlooked
	}
	rows, err := t.tx.QueryContext(t.ctx, `SELECT id, vault_id, at, caller, role, act, object, error, hash
		FROM audit WHERE id >= ? ORDER BY id`, first)
	if err != nil {
		return from, explain(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r chained
		if err := rows.Scan(&r.id, &r.vault, &r.at, &r.Caller, &r.Role, &r.Act, &r.Object, &r.Error, &r.hash); err != nil {
			return from, explain(err)
		}
		if from, err = r.follows(from); err != nil {
			return from, err
		}
		if each != nil {
			if err := each(from, r.Audit); err != nil {
				return from, err
			}
		}
	}
	return from, explain(rows.Err())
}

// Head is what the file says about the end of the chain: the last link, and a link that
// was sealed with the data key. A file without rows has the zero Head.
type Head struct {
	Last   Link
	SealAt int64  // the id of the sealed link, in the clear
	Seal   []byte // nil: never sealed
}

func (t *Tx) AuditHead() (h Head, err error) {
	var hash []byte
	err = t.row("SELECT last, hash, sealed_at, sealed FROM audit_head WHERE id = 1", nil, &h.Last.ID, &hash, &h.SealAt, &h.Seal)
	if errors.Is(err, ErrNoRow) {
		return Head{}, nil
	}
	copy(h.Last.Hash[:], hash)
	return h, err
}

func (t *Tx) setAuditHead(l Link) error {
	_, err := t.exec(`INSERT INTO audit_head (id, last, hash) VALUES (1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET last = excluded.last, hash = excluded.hash`, l.ID, l.Hash[:])
	return err
}

// SealAudit keeps what vouches for the chain up to the row with this id.
func (t *Tx) SealAudit(at int64, sealed []byte) error {
	n, err := t.exec("UPDATE audit_head SET sealed_at = ?, sealed = ? WHERE id = 1", at, sealed)
	if err == nil && n == 0 {
		return ErrNoRow
	}
	return err
}
