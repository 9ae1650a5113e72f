package store

import (
	"encoding/json"
	"fmt"
	"strings"
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
	// Queue is from the request's arrival until a connection was wanted, or had if one was
	// open. Dial is resolving and connecting. FirstByte is from having the connection to
	// the first byte of the answer. What did not happen took 0.
	Queue, Dial, TLS, FirstByte time.Duration
	// Proto is what the client spoke, UpstreamProto what the upstream answered in.
	Proto, UpstreamProto string
	Scheme               string // by which the upstream was, or would have been, asked
	// Count is how many denials this is the record of, and Last the time of the last one
	// if there are several.
	Count int
	Last  time.Time
}

const entryColumns = "at, session, run, method, host, port, path, service, keys, allowed, rule, reason, upstream, status, bytes_in, bytes_out, duration, " +
	"queued, dial, tls, first_byte, proto, upstream_proto, scheme, count, last"

// AddEntry returns the id of the row, by which more can be folded into it.
func (t *Tx) AddEntry(vault string, e Entry) (id int64, err error) {
	keys, err := json.Marshal(e.Keys)
	if err != nil {
		return 0, err
	}
	r, err := t.tx.ExecContext(t.ctx, "INSERT INTO requests (vault_id, "+entryColumns+") VALUES (?"+strings.Repeat(", ?", strings.Count(entryColumns, ",")+1)+")",
		vault, nanos(e.Time), e.Session, e.Run, e.Method, e.Host, e.Port, e.Path, e.Service, string(keys), e.Allowed,
		e.Rule, e.Reason, e.Upstream, e.Status, e.BytesIn, e.BytesOut, int64(e.Duration),
		int64(e.Queue), int64(e.Dial), int64(e.TLS), int64(e.FirstByte), e.Proto, e.UpstreamProto, e.Scheme, max(e.Count, 1), lastNanos(e.Last))
	if err != nil {
		return 0, explain(err)
	}
	return r.LastInsertId()
}

// FoldEntry counts more of what e is the record of. It returns ErrNoRow if the row is
// gone: its number may be another's by now.
func (t *Tx) FoldEntry(vault string, id int64, e Entry, more int) error {
	n, err := t.exec("UPDATE requests SET count = count + ?, last = max(last, ?) WHERE id = ? AND vault_id = ? AND at = ? AND session = ? AND NOT allowed",
		more, lastNanos(e.Last), id, vault, nanos(e.Time), e.Session)
	if err == nil && n == 0 {
		return ErrNoRow
	}
	return err
}

func lastNanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return nanos(t)
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

// Query says which records are meant. What is zero does not matter.
type Query struct {
	Run string
	// Host is a host, or "*." and a domain: any one label in its place.
	Host   string
	Denied bool
	Since  time.Time
	// After and UpTo are ids of rows.
	After, UpTo int64
}

func (q Query) where(vault string) (conditions string, args []any) {
	conditions, args = "vault_id = ?", []any{vault}
	add := func(when bool, condition string, arg ...any) {
		if when {
			conditions, args = conditions+" AND "+condition, append(args, arg...)
		}
	}
	domain, wild := strings.CutPrefix(q.Host, "*.")
	add(q.Run != "", "run = ?", q.Run)
	add(q.Host != "" && !wild, "host = ?", q.Host)
	add(wild, "instr(host, '.') > 0 AND substr(host, instr(host, '.') + 1) = ?", domain)
	add(q.Denied, "NOT allowed")
	if !q.Since.IsZero() {
		add(true, "max(at, last) >= ?", nanos(q.Since))
	}
	add(q.After > 0, "id > ?", q.After)
	add(q.UpTo > 0, "id <= ?", q.UpTo)
	return conditions, args
}

// Entries are the newest records that q means, up to limit, oldest first.
func (t *Tx) Entries(vault string, q Query, limit int) ([]Entry, error) {
	where, args := q.where(vault)
	return collect(t, scanEntry, `SELECT `+entryColumns+` FROM (
			SELECT id, `+entryColumns+` FROM requests WHERE `+where+` ORDER BY id DESC LIMIT ?
		) ORDER BY id`, append(args, limit)...)
}

// LastEntry is the id of the newest row of all vaults, 0 if there is none.
func (t *Tx) LastEntry() (id int64, err error) {
	err = t.row("SELECT coalesce(max(id), 0) FROM requests", nil, &id)
	return id, err
}

func scanEntry(scan func(...any) error) (e Entry, err error) {
	var at, last, duration, queue, dial, tls, firstByte int64
	var keys string
	err = scan(&at, &e.Session, &e.Run, &e.Method, &e.Host, &e.Port, &e.Path, &e.Service, &keys, &e.Allowed,
		&e.Rule, &e.Reason, &e.Upstream, &e.Status, &e.BytesIn, &e.BytesOut, &duration,
		&queue, &dial, &tls, &firstByte, &e.Proto, &e.UpstreamProto, &e.Scheme, &e.Count, &last)
	if err != nil {
		return e, err
	}
	e.Time, e.Duration = moment(at), time.Duration(duration)
	e.Queue, e.Dial, e.TLS, e.FirstByte = time.Duration(queue), time.Duration(dial), time.Duration(tls), time.Duration(firstByte)
	if last != 0 {
		e.Last = moment(last)
	}
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
	// Failed counts the tunnels that policy let through and that carried nothing, and
	// Unread those among them that no service is for and that were to be read.
	Failed, Unread    int
	BytesIn, BytesOut int64
	// Reason is why the newest one failed, or was denied by another rule than the given one.
	Reason string
}

// A request in a tunnel that is read has a record of its own, which is no CONNECT; so a
// CONNECT that was allowed and has a reason is a tunnel that came to nothing, or one
// of those that carry what nobody reads, which count their bytes.
const failedTunnel = "(allowed AND method = 'CONNECT' AND reason <> '' AND bytes_in + bytes_out = 0)"

// Counts are a run's targets in the order in which it first went there.
func (t *Tx) Counts(vault, run, rule string) ([]Count, error) {
	// The largest of what begins with the row's number is the newest row's.
	return collect(t, func(scan func(...any) error) (c Count, err error) {
		err = scan(&c.Host, &c.Port, &c.Requests, &c.Denied, &c.ByRule, &c.Failed, &c.Unread, &c.BytesIn, &c.BytesOut, &c.Reason)
		return c, err
	}, `SELECT host, port, sum(count), sum(count * NOT allowed), sum(count * (NOT allowed AND rule = ?1)),
			sum(count * `+failedTunnel+`), sum(count * (`+failedTunnel+` AND service = '' AND proto NOT IN ('tcp', 'tls'))),
			sum(bytes_in), sum(bytes_out),
			coalesce(substr(max(CASE WHEN reason <> '' AND (NOT allowed AND rule <> ?1 OR `+failedTunnel+`) THEN printf('%020d', id) || reason END), 21), '')
		FROM requests WHERE vault_id = ?2 AND run = ?3 GROUP BY host, port ORDER BY min(id)`, rule, vault, run)
}
