package vault

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

const (
	minTTL     = 5 * time.Minute
	maxTTL     = 7 * 24 * time.Hour
	defaultTTL = 24 * time.Hour
	// keptAfterEnd is how long the list of sessions remembers one that ended or expired.
	keptAfterEnd = 30 * 24 * time.Hour
	maxAllow     = 1000 // targets of one grant
	tokenSize    = 32   // bytes of randomness: 256 bits
)

// Grant is what a session is opened for.
type Grant struct {
	Run       string           `json:"-"`
	TTL       time.Duration    `json:"-"` // 0: 24 hours
	Unmatched policy.Unmatched `json:"unmatched"`
	Allow     []policy.Target  `json:"allow,omitempty"`
	// Raw are those to which bytes are carried that nobody reads.
	Raw []policy.Target `json:"raw,omitempty"`
	// Host are endpoints that only this machine, or its network, is to reach otherwise.
	Host []policy.HostService `json:"host_services,omitempty"`
	// Services are for this session as if the vault had them, where it has none that
	// meets theirs.
	Services []policy.Service `json:"services,omitempty"`
	// Limits are its share of the proxy, and what it may send out.
	Limits Limits `json:"limits,omitzero"`
}

// Opened is a new session's way in. The token and the key are shown here and
// nowhere again: the vault keeps hashes.
type Opened struct {
	ID      string
	Token   Value
	Expires time.Time
	// CertPEM and KeyPEM are a client certificate of this session alone. It is
	// self-signed: who shows that the key is theirs, and whose certificate has the
	// fingerprint that the vault kept, is the session.
	CertPEM []byte
	KeyPEM  Value
}

func (g Grant) check() (Grant, error) {
	if g.TTL == 0 {
		g.TTL = defaultTTL
	}
	if g.TTL < minTTL || g.TTL > maxTTL {
		return g, &problem{fmt.Sprintf("a session of %v is refused", g.TTL), "it lasts from 5 minutes to 7 days"}
	}
	if len(g.Run) > maxName || !printable(g.Run) {
		return g, fmt.Errorf("refusing run %q: longer than %d characters or not printable", clip(g.Run, maxName), maxName)
	}
	if n := len(g.Allow) + len(g.Raw) + len(g.Host) + len(g.Services); n > maxAllow {
		return g, fmt.Errorf("refusing %d allowed hosts, more than %d", n, maxAllow)
	}
	if err := g.checkServices(); err != nil {
		return g, err
	}
	if err := g.Limits.Check(); err != nil {
		return g, err
	}
	if g.Unmatched == "" {
		g.Unmatched = policy.Deny
	}
	_, err := g.Compile(g.Services)
	return g, err
}

// Compile makes the policy of a session that is opened for g, beside services.
func (g Grant) Compile(services []policy.Service) (*policy.Set, error) {
	return policy.Open{Unmatched: g.Unmatched, Allow: g.Allow, Raw: g.Raw, Host: g.Host}.Compile(services)
}

// OpenSession opens a session.
func (v *Vault) OpenSession(ctx context.Context, c Caller, g Grant) (Opened, error) {
	o := Opened{ID: randomID()}
	prepare := func() (change, error) {
		g, err := g.check()
		if err != nil {
			return nil, err
		}
		// Whoever cannot open what is sealed shall not hand it out either.
		key, err := v.dataKey(ctx)
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(g)
		if err != nil {
			return nil, err
		}
		now := v.o.Now()
		row := store.Session{ID: o.ID, Run: g.Run, Policy: string(body), Created: now, Expires: now.Add(g.TTL)}
		var raw [tokenSize]byte
		_, _ = rand.Read(raw[:]) // never fails: the program ends instead
		token := base64.RawURLEncoding.EncodeToString(raw[:])
		o.Expires = row.Expires
		row.TokenHash = sha256.Sum256([]byte(token))
		o.Token = NewValue([]byte(token))
		client, err := newClient(o.ID, row.Created, row.Expires)
		if err != nil {
			return nil, fmt.Errorf("make the session's certificate: %w", err)
		}
		row.CertificateHash = sha256.Sum256(client.der)
		o.CertPEM, o.KeyPEM = certificatePEM(client.der), keyPEM(client.key)
		return func(tx *store.Tx) error {
			if err := tx.ForgetSessions(v.id, kindSession, now.Add(-keptAfterEnd)); err != nil {
				return err
			}
			return v.addSession(tx, key, row)
		}, nil
	}
	err := v.do(ctx, act{caller: c, need: RoleAdmin, verb: "open session", objects: []string{o.ID}, prepare: prepare})
	if err != nil {
		return Opened{}, err
	}
	return o, nil
}
