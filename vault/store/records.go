package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// Entry is the record of one request, denied CONNECT or failed tunnel.
type Entry struct {
	Time         time.Time
	Session, Run string
	Method, Host string
	Port         uint16
	// Path has no query: a query may hold anything.
	Path    string
	Service string
	// Keys names the credentials that were added, never their values.
	Keys         []string
	Allowed      bool
	Rule, Reason string
	// Upstream is the address that was dialled.
	Upstream          string
	Status            int
	BytesIn, BytesOut int64
	Duration          time.Duration
	Proto             string
}

const entryColumns = "at, session, run, method, host, port, path, service, keys, allowed, rule, reason, upstream, status, bytes_in, bytes_out, duration, proto"

func (t *Tx) AddEntry(vault string, e Entry) error {
	keys, err := json.Marshal(e.Keys)
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO requests (vault_id, "+entryColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		vault, nanos(e.Time), e.Session, e.Run, e.Method, e.Host, e.Port, e.Path, e.Service, string(keys), e.Allowed,
		e.Rule, e.Reason, e.Upstream, e.Status, e.BytesIn, e.BytesOut, int64(e.Duration), e.Proto)
	return err
}

// TouchUses notes when credentials went out last. It bumps no revision: whatever
// memory holds is as good as before.
func (t *Tx) TouchUses(vault string, newest map[string]time.Time) error {
	for key, at := range newest {
		_, err := t.exec(`INSERT INTO uses (vault_id, name, at) VALUES (?, ?, ?)
			ON CONFLICT (vault_id, name) DO UPDATE SET at = max(at, excluded.at)`, vault, key, nanos(at))
		if err != nil {
			return err
		}
	}
	return nil
}

// Entries are the newest records of a run, or with "" of all runs, up to limit, oldest
// first.
func (t *Tx) Entries(vault, run string, limit int) ([]Entry, error) {
	// Two queries: one goes by the index, the other back from the newest record.
	of, args := "vault_id = ? AND run = ?", []any{vault, run, limit}
	if run == "" {
		of, args = "vault_id = ?", []any{vault, limit}
	}
	return collect(t, scanEntry, `SELECT `+entryColumns+` FROM (
			SELECT id, `+entryColumns+` FROM requests WHERE `+of+` ORDER BY id DESC LIMIT ?
		) ORDER BY id`, args...)
}

func scanEntry(scan func(...any) error) (e Entry, err error) {
	var at, duration int64
	var keys string
	err = scan(&at, &e.Session, &e.Run, &e.Method, &e.Host, &e.Port, &e.Path, &e.Service, &keys, &e.Allowed,
		&e.Rule, &e.Reason, &e.Upstream, &e.Status, &e.BytesIn, &e.BytesOut, &duration, &e.Proto)
	if err != nil {
		return e, err
	}
	e.Time, e.Duration = moment(at), time.Duration(duration)
	if err := json.Unmarshal([]byte(keys), &e.Keys); err != nil {
		return e, fmt.Errorf("%w: a record's keys: %v", ErrCorrupt, err)
	}
	return e, nil
}

// Count is how often a run went to one target.
type Count struct {
	Host             string
	Port             uint16
	Requests, Denied int
	// ByRule counts the denials that a given rule made.
	ByRule int
}

// Counts are a run's targets in the order in which it first went there.
func (t *Tx) Counts(vault, run, rule string) ([]Count, error) {
	return collect(t, func(scan func(...any) error) (c Count, err error) {
		err = scan(&c.Host, &c.Port, &c.Requests, &c.Denied, &c.ByRule)
		return c, err
	}, `SELECT host, port, count(*), sum(NOT allowed), sum(NOT allowed AND rule = ?)
		FROM requests WHERE vault_id = ? AND run = ? GROUP BY host, port ORDER BY min(id)`, rule, vault, run)
}
