package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// maxValue is what a credential may hold, in bytes.
const maxValue = 64 << 10

// Credential is what can be said about a credential without its value.
type Credential struct {
	Key     string    `json:"key"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Used is when it last went out; zero: never.
	Used      time.Time `json:"used,omitzero"`
	Version   int       `json:"version"`
	Hosts     []string  `json:"hosts,omitempty"`     // the only ones that it may go to
	Reference string    `json:"reference,omitempty"` // its kind; "": the value is in the vault
	UsedBy    []string  `json:"used_by"`             // names of services
}

// errNotAKey does not repeat what it was given, and nor does the audit table: the
// usual mistake is to write the secret itself where its name belongs.
var errNotAKey error = &problem{"that is not a credential key",
	"a key has capitals, digits and underscores, such as GITHUB_TOKEN, up to 128"}

func objectNames(keys []string) []string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key
		if !policy.ValidKey(key) {
			names[i] = "(not a credential key)"
		}
	}
	return names
}

// CheckKey refuses what cannot name a credential.
func CheckKey(key string) error {
	if !policy.ValidKey(key) {
		return errNotAKey
	}
	return nil
}

// Credentials lists the credentials by key, without their values.
func (v *Vault) Credentials(ctx context.Context, c Caller) (list []Credential, err error) {
	if err := v.authorise(c, RoleMember, "list credentials"); err != nil {
		return nil, err
	}
	err = v.db.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Secrets(v.id, kindCredential)
		if err != nil {
			return err
		}
		services, err := readServices(tx, v.id)
		if err != nil {
			return err
		}
		uses, err := tx.Uses(v.id)
		if err != nil {
			return err
		}
		users := usersByKey(services)
		list = make([]Credential, len(rows))
		for i, row := range rows {
			m, err := metaOf(row)
			if err != nil {
				return err
			}
			list[i] = Credential{Key: row.Name, Created: row.Created, Updated: row.Updated, Used: uses[row.Name],
				Version: m.Version, Hosts: m.Hosts, Reference: m.Ref, UsedBy: append([]string{}, users[row.Name]...)}
		}
		return nil
	})
	return list, err
}

// DeleteCredential removes a credential with its earlier values. It refuses while a service
// needs it, unless by force: such a service answers that its credential is missing.
func (v *Vault) DeleteCredential(ctx context.Context, c Caller, key string, force bool) error {
	prepare := func() (change, error) {
		if err := CheckKey(key); err != nil {
			return nil, err
		}
		// Nothing sealed is opened, but whoever cannot open it shall not remove it.
		if _, err := v.dataKey(ctx); err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error {
			services, err := readServices(tx, v.id)
			if err != nil {
				return err
			}
			if users := usersByKey(services)[key]; len(users) > 0 && !force {
				return &problem{fmt.Sprintf("credential %s is used by service %s", key, strings.Join(users, ", ")),
					"`av service remove " + strings.Join(users, " ") + "` first, or delete it with --force: requests to what uses it will then fail"}
			}
			if err := tx.DeleteSecret(v.id, kindCredential, key); err != nil {
				return noCredential(key, err)
			}
			return errors.Join(tx.TrimVersions(v.id, key, 0), tx.ForgetUse(v.id, key))
		}, nil
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, verb: "delete credential", objects: objectNames([]string{key}), prepare: prepare,
		mirror: func() { v.forget(key) }})
}

// noCredential names the credential that a look-up did not find.
func noCredential(key string, err error) error {
	if errors.Is(err, store.ErrNoRow) {
		return fmt.Errorf("%w: %s", ErrNoCredential, clip(key, maxName))
	}
	return err
}

// usersByKey are the names of the services that need each key, in order.
func usersByKey(services []policy.Service) map[string][]string {
	users := map[string][]string{}
	for _, s := range services {
		for _, key := range s.Keys() {
			users[key] = append(users[key], s.Name)
		}
	}
	return users
}
