package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	UsedBy  []string  `json:"used_by"` // names of services
}

// SetCredential stores one value, in place of an earlier one.
func (v *Vault) SetCredential(ctx context.Context, c Caller, key string, val Value) error {
	return v.SetCredentials(ctx, c, map[string]Value{key: val})
}

// SetCredentials stores all values, or none.
func (v *Vault) SetCredentials(ctx context.Context, c Caller, values map[string]Value) error {
	keys := slices.Sorted(maps.Keys(values))
	prepare := func() (change, error) {
		boxes := make(map[string][]byte, len(keys))
		for _, key := range keys {
			if err := checkCredential(key, values[key]); err != nil {
				return nil, err
			}
		}
		for _, key := range keys {
			box, err := v.seal(ctx, kindCredential, key, values[key])
			if err != nil {
				return nil, err
			}
			boxes[key] = box
		}
		return func(tx *store.Tx) error {
			for _, key := range keys {
				if err := tx.PutSecret(v.id, kindCredential, key, boxes[key], v.o.Now()); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
	return v.do(ctx, act{caller: c, need: RoleMember, verb: "set credential", objects: objectNames(keys), prepare: prepare,
		mirror: func() { v.credentials.forget(keys...) }})
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

func checkCredential(key string, val Value) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	plain := val.Open()
	defer clear(plain)
	if len(plain) == 0 {
		return &problem{"the value of " + key + " is empty", "delete it with `av credential delete " + key + "`"}
	}
	if len(plain) > maxValue {
		return &problem{fmt.Sprintf("the value of %s has more than %d KiB", key, maxValue>>10), "a credential is a token, not a file"}
	}
	return nil
}

// Credentials lists the credentials by key, without their values.
func (v *Vault) Credentials(ctx context.Context, c Caller) (list []Credential, err error) {
	if err := authorise(c, RoleMember, "list credentials"); err != nil {
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
		list = make([]Credential, len(rows))
		for i, row := range rows {
			list[i] = Credential{row.Name, row.Created, row.Updated, usersOf(row.Name, services)}
		}
		return nil
	})
	return list, err
}

// DeleteCredential refuses while a service needs the credential.
func (v *Vault) DeleteCredential(ctx context.Context, c Caller, key string) error {
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
			if users := usersOf(key, services); len(users) > 0 {
				return &problem{fmt.Sprintf("credential %s is used by service %s", key, strings.Join(users, ", ")),
					"take it out of the services file first, then `av service set -f FILE`"}
			}
			return noCredential(key, tx.DeleteSecret(v.id, kindCredential, key))
		}, nil
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, verb: "delete credential", objects: objectNames([]string{key}), prepare: prepare,
		mirror: func() { v.credentials.forget(key) }})
}

// noCredential names the credential that a look-up did not find.
func noCredential(key string, err error) error {
	if errors.Is(err, store.ErrNoRow) {
		return fmt.Errorf("%w: %s", ErrNoCredential, clip(key, maxName))
	}
	return err
}

// usersOf are the names of the services that need key, in order.
func usersOf(key string, services []policy.Service) []string {
	users := []string{}
	for _, s := range services {
		if slices.Contains(s.Auth.Keys(), key) {
			users = append(users, s.Name)
		}
	}
	return users
}
