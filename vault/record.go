package vault

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// What of a record is kept, in bytes: an agent writes most of it, and a long path is
// no way to fill the disk.
const (
	maxName   = 256
	maxReason = 1024
	maxPath   = 1024
	// maxDeniedPath is less: a refusal costs an agent nothing, and the path of what was
	// refused says little that its host does not.
	maxDeniedPath = 256
	// maxRequests is what Requests returns when it is not told.
	maxRequests = 1000
)

// Entry is the record of one request, denied CONNECT or failed tunnel.
type Entry = store.Entry

// Record hands e to the one writer. It does not wait for the disk, unless the writer is
// a whole queue behind; and if it stays there, the record is counted as lost. Denials
// that are alike share one record, which counts them. Past what is kept for one session
// a record is only counted.
func (v *Vault) Record(e Entry) {
	if e.Time.IsZero() {
		e.Time = v.o.Now() // or it would be the oldest, and the first to go
	}
	v.records.add(trim(e))
}

// trim bounds what a client wrote, and drops the query even if the caller did not:
// it may hold a secret.
func trim(e Entry) Entry {
	if i := strings.IndexAny(e.Path, "?#"); i >= 0 {
		e.Path = e.Path[:i]
	}
	limit := maxPath
	if !e.Allowed {
		limit = maxDeniedPath
	}
	e.Path = clip(e.Path, limit)
	e.Reason = clip(e.Reason, maxReason)
	for _, s := range []*string{&e.Session, &e.Run, &e.Method, &e.Host, &e.Service, &e.Rule, &e.Upstream, &e.Proto, &e.UpstreamProto, &e.Scheme} {
		*s = clip(*s, maxName)
	}
	return e
}

// Summary is what a run did.
type Summary struct {
	Requests, Denied int
	// Lost counts the records, of any run, that this process could not write.
	Lost int
	// NotKept counts the requests of the run that this process left out of the records,
	// and of the numbers above, because its sessions had made as many as are kept.
	NotKept int
	Hosts   []HostCount
}

// HostCount is how often a run went to one target, and, if policy denied it there,
// the command that would allow it.
type HostCount struct {
	Target           policy.Target
	Requests, Denied int
	Hint             string
	// Failed counts the tunnels that policy let through and that carried nothing: a client
	// that does not trust our certificate, one that waits for its server to speak.
	Failed int
	// RawHint is the command that would have had them carried unread, where one would.
	RawHint           string
	BytesIn, BytesOut int64
	// Reason is why the newest of them failed, or was denied though policy names its target.
	Reason string
}

// Summary counts the requests of a run, those of a moment ago included.
func (v *Vault) Summary(ctx context.Context, c Caller, run string) (Summary, error) {
	if err := v.authorise(c, RoleMember, "read records"); err != nil {
		return Summary{}, err
	}
	lost, err := v.records.flush(ctx)
	if err != nil {
		return Summary{}, err
	}
	sum := Summary{Lost: lost, NotKept: v.records.kept.notKept(run)}
	err = v.db.View(ctx, func(tx *store.Tx) error {
		counts, err := tx.Counts(v.id, run, policy.RuleUnmatchedDeny)
		for _, n := range counts {
			target := policy.Target{Host: n.Host, Port: n.Port}
			h := HostCount{Target: target, Requests: n.Requests, Denied: n.Denied, Failed: n.Failed, BytesIn: n.BytesIn, BytesOut: n.BytesOut, Reason: n.Reason}
			if n.ByRule > 0 {
				h.Hint = policy.AllowHint(target)
			}
			if n.Unread > 0 {
				h.RawHint = "av run --allow " + policy.RawFlag(target) + " ..."
			}
			sum.Requests += n.Requests
			sum.Denied += n.Denied
			sum.Hosts = append(sum.Hosts, h)
		}
		return err
	})
	return sum, err
}

// Requests are the newest records of a run, or with "" of all runs, up to limit, oldest
// first.
func (v *Vault) Requests(ctx context.Context, c Caller, run string, limit int) (entries []Entry, err error) {
	if err := v.authorise(c, RoleMember, "read records"); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = maxRequests
	}
	if _, err := v.records.flush(ctx); err != nil {
		return nil, err
	}
	return v.newest(ctx, store.Query{Run: run}, limit)
}

func (v *Vault) newest(ctx context.Context, q store.Query, limit int) (entries []Entry, err error) {
	err = v.db.View(ctx, func(tx *store.Tx) (err error) {
		entries, err = tx.Entries(v.id, q, limit)
		return err
	})
	return entries, err
}

// clip is the first n bytes of s, as valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// printable tells whether s is valid UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
