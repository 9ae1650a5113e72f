package vault

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// Version is one value that a credential has or had, without the value.
type Version struct {
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	Current bool      `json:"current"`
	Hosts   []string  `json:"hosts,omitempty"`
	Ref     string    `json:"ref,omitempty"`
}

// History lists the versions of a credential, newest first.
func (v *Vault) History(ctx context.Context, c Caller, key string) (list []Version, err error) {
	if err := v.authorise(c, RoleMember, "list the versions of a credential"); err != nil {
		return nil, err
	}
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	err = v.db.View(ctx, func(tx *store.Tx) error {
		row, err := tx.SecretRow(v.id, kindCredential, key)
		if err != nil {
			return noCredential(key, err)
		}
		earlier, err := tx.Versions(v.id, key)
		if err != nil {
			return err
		}
		rows := []store.Secret{row}
		for _, e := range earlier {
			rows = append(rows, e.Secret)
		}
		for i, row := range rows {
			m, err := metaOf(row)
			if err != nil {
				return err
			}
			list = append(list, Version{m.Version, row.Updated, i == 0, m.Hosts, m.Ref})
		}
		return nil
	})
	return list, err
}

// Rollback makes what an earlier version held the value again, as a new version. The
// binding stays what it is: an old value is no way around a newer binding.
func (v *Vault) Rollback(ctx context.Context, c Caller, key string, version int) error {
	prepare := func() (change, error) {
		if err := CheckKey(key); err != nil {
			return nil, err
		}
		data, err := v.dataKey(ctx)
		if err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error { return v.rollback(tx, data, key, version) }, nil
	}
	return v.do(ctx, act{caller: c, need: RoleMember, verb: "roll back credential", objects: objectNames([]string{key}), prepare: prepare,
		mirror: func() { v.forget(key) }})
}

func (v *Vault) rollback(tx *store.Tx, data seal.Key, key string, version int) error {
	next, err := v.openIn(tx, data, key)
	if err != nil {
		return noCredential(key, err)
	}
	if next.Version == version {
		return &problem{fmt.Sprintf("version %d of %s is its value already", version, key), "`av credential history " + key + "` shows the earlier ones"}
	}
	earlier, err := v.openVersion(tx, data, key, version)
	if err != nil {
		return err
	}
	next.sealed, next.Ref, next.Keep = earlier.sealed, earlier.Ref, earlier.Keep
	services, err := readServices(tx, v.id)
	if err != nil {
		return err
	}
	return v.replace(tx, data, key, next, true, services)
}

func (v *Vault) openVersion(tx *store.Tx, data seal.Key, key string, version int) (opened, error) {
	rows, err := tx.Versions(v.id, key)
	if err != nil {
		return opened{}, err
	}
	i := slices.IndexFunc(rows, func(row store.Version) bool { return row.Number == version })
	if i < 0 {
		return opened{}, &problem{fmt.Sprintf("there is no version %d of %s", version, key), "`av credential history " + key + "` shows those there are"}
	}
	o, err := openCredential(data, v.id, rows[i].Secret)
	if err == nil && o.Version != version {
		err = fmt.Errorf("%w: version %d of %s is another one", ErrCorrupt, version, key)
	}
	return o, err
}
