package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// SessionInfo is a session without its token.
type SessionInfo struct {
	ID        string           `json:"id"`
	Run       string           `json:"run,omitempty"`
	Created   time.Time        `json:"created"`
	Expires   time.Time        `json:"expires"`
	Ended     time.Time        `json:"ended,omitzero"`
	Unmatched policy.Unmatched `json:"unmatched"`
	Allow     []policy.Target  `json:"allow,omitempty"`
	Raw       []policy.Target  `json:"raw,omitempty"`

	Host     []policy.HostService `json:"host_services,omitempty"`
	Services []policy.Service     `json:"services,omitempty"`
	// Limits are those of the grant: what is zero is the default.
	Limits Limits `json:"limits,omitzero"`
}

func sessionInfo(row store.Session) (SessionInfo, error) {
	g, err := readGrant(row)
	return SessionInfo{ID: row.ID, Run: row.Run, Created: row.Created, Expires: row.Expires, Ended: row.Ended,
		Unmatched: g.Unmatched, Allow: g.Allow, Raw: g.Raw, Host: g.Host, Services: g.Services, Limits: g.Limits}, err
}

// readGrant is what the row of a session was opened for.
func readGrant(row store.Session) (g Grant, err error) {
	if err := json.Unmarshal([]byte(row.Policy), &g); err != nil {
		return g, fmt.Errorf("session %s: %w: %v", row.ID, ErrCorrupt, err)
	}
	return g, nil
}

// Sessions lists the open sessions, or, with all, those of the past 30 days too; newest
// first.
func (v *Vault) Sessions(ctx context.Context, c Caller, all bool) ([]SessionInfo, error) {
	if err := v.authorise(c, RoleMember, "list sessions"); err != nil {
		return nil, err
	}
	var rows []store.Session
	err := v.db.View(ctx, func(tx *store.Tx) (err error) {
		if all {
			rows, err = tx.Sessions(v.id)
		} else {
			rows, err = tx.OpenSessions(v.id, v.o.Now())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	list := make([]SessionInfo, len(rows))
	for i, row := range rows {
		if list[i], err = sessionInfo(row); err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
	}
	return list, nil
}

// minPrefix is what of a session's id has to be typed: with less, a slip of the finger
// ends another one.
const minPrefix = 6

// RevokeSession ends the session whose id is or begins with id; ErrNoSession if there
// is none that is open.
func (v *Vault) RevokeSession(ctx context.Context, c Caller, id string) (info SessionInfo, err error) {
	// The audit row names the session that was ended, once it is known which.
	objects := []string{"(not a session's id)"}
	if isID(id) {
		objects[0] = id
	}
	prepare := func() (change, error) {
		var rows []store.Session
		err := v.db.View(ctx, func(tx *store.Tx) (err error) {
			rows, err = tx.OpenSessions(v.id, v.o.Now())
			return err
		})
		if err != nil {
			return nil, err
		}
		row, err := oneByPrefix(rows, id)
		if err != nil {
			return nil, err
		}
		if info, err = sessionInfo(row); err != nil {
			return nil, err
		}
		objects[0], info.Ended = row.ID, v.o.Now()
		return func(tx *store.Tx) error {
			err := tx.EndSession(v.id, row.ID, info.Ended)
			if errors.Is(err, store.ErrNoRow) {
				return ErrNoSession // somebody was faster
			}
			if err != nil {
				return err
			}
			return v.endSeals(tx, row.ID)
		}, nil
	}
	err = v.do(ctx, act{caller: c, need: RoleAdmin, verb: "revoke session", objects: objects, keyless: true, prepare: prepare,
		mirror: func() { v.sessions.end(info.ID) }})
	if err != nil {
		return SessionInfo{}, err
	}
	return info, nil
}

// isID tells whether s may be the beginning of an id. A token, put where the id belongs,
// is not, and shall not be kept in the log.
func isID(s string) bool {
	return len(s) <= len(randomID()) && strings.Trim(s, "0123456789abcdef") == ""
}

// oneByPrefix is the one row whose id is or begins with id.
func oneByPrefix(rows []store.Session, id string) (found store.Session, err error) {
	if len(id) < minPrefix || !isID(id) {
		return found, &problem{"that is not a session's id", fmt.Sprintf("give its first %d characters or more; `av session list` shows it", minPrefix)}
	}
	n := 0
	for _, row := range rows {
		if strings.HasPrefix(row.ID, id) {
			found = row
			n++
		}
	}
	switch n {
	case 0:
		return found, ErrNoSession
	case 1:
		return found, nil
	}
	return found, &problem{fmt.Sprintf("the ids of %d sessions begin with %s", n, id), "give more of the id; `av session list` shows it"}
}
