package vault

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// maxVaults is what one file may have.
const maxVaults = 100

// vaultName is what a vault may be called: it stands in commands and in variables.
var vaultName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// Info is what can be said about one of the file's vaults.
type Info struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Created     time.Time `json:"created"`
	Current     bool      `json:"current"`
	Credentials int       `json:"credentials"`
	Services    int       `json:"services"`
}

// Vaults lists the vaults of the file by name; to a caller of one vault, that one.
func (v *Vault) Vaults(ctx context.Context, c Caller) (list []Info, err error) {
	if err := v.authorise(c, RoleMember, "list vaults"); err != nil {
		return nil, err
	}
	err = v.db.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Vaults(kindCredential)
		if err != nil {
			return err
		}
		current, err := tx.CurrentVault(defaultVault)
		if err != nil {
			return missing(err)
		}
		for _, row := range rows {
			if c.Vault != "" && c.Vault != row.ID {
				continue
			}
			list = append(list, Info{ID: row.ID, Name: row.Name, Created: row.Created, Current: row.ID == current.ID,
				Credentials: row.Credentials, Services: row.Services})
		}
		return nil
	})
	return list, err
}

// CreateVault makes an empty vault with a local CA of its own.
func (v *Vault) CreateVault(ctx context.Context, c Caller, name string) error {
	prepare := func() (change, error) {
		if !vaultName.MatchString(name) {
			return nil, &problem{fmt.Sprintf("refusing the vault name %q", clip(name, maxName)),
				"a name has small letters, digits and hyphens between them, such as work-2, up to 64"}
		}
		data, err := v.dataKey(ctx)
		if err != nil {
			return nil, err
		}
		made, err := newVaultRows(data, name, v.o.Now())
		if err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error {
			rows, err := tx.Vaults(kindCredential)
			if err != nil {
				return err
			}
			for _, row := range rows {
				if row.Name == name {
					return &problem{"there is a vault " + name + " already", "`av vault use " + name + "`, or take another name"}
				}
			}
			if len(rows) >= maxVaults {
				return &problem{fmt.Sprintf("there are %d vaults already, and no more fit", len(rows)), "`av vault delete` one that is no longer needed"}
			}
			return made.add(tx)
		}, nil
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, file: true, verb: "create vault", objects: []string{name}, prepare: prepare})
}

// vaultRows are a new vault: its row, and its local CA with the key sealed.
type vaultRows struct {
	row         store.Vault
	certificate []byte
	box         []byte
}

func newVaultRows(data seal.Key, name string, now time.Time) (vaultRows, error) {
	ca, err := newAuthority(now)
	if err != nil {
		return vaultRows{}, fmt.Errorf("make the local CA: %w", err)
	}
	id := randomID()
	plain := ca.key.Open()
	defer clear(plain)
	box, err := data.Seal(authorityPlace(id), plain)
	if err != nil {
		return vaultRows{}, fmt.Errorf("seal the CA's key: %w", err)
	}
	return vaultRows{store.Vault{ID: id, Name: name, Created: now}, ca.der, box}, nil
}

func (r vaultRows) add(tx *store.Tx) error {
	return errors.Join(
		tx.AddVault(r.row),
		tx.SetCertificate(r.row.ID, r.certificate),
		tx.SetSecretRow(r.row.ID, kindAuthority, authorityRow(r.box, r.row.Created)),
	)
}

// DeleteVault removes a vault with everything in it. It refuses the current one, and
// one with open sessions.
func (v *Vault) DeleteVault(ctx context.Context, c Caller, name string) error {
	prepare := func() (change, error) {
		// Nothing sealed is opened, but whoever cannot open it shall not remove it.
		if _, err := v.dataKey(ctx); err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error {
			row, err := vaultNamed(tx, name)
			if err != nil {
				return err
			}
			current, err := tx.CurrentVault(defaultVault)
			if err != nil {
				return missing(err)
			}
			if row.ID == current.ID || row.ID == v.id {
				return &problem{"refusing to delete the vault " + name + ": it is the one in use", "`av vault use` another one first"}
			}
			open, err := tx.OpenSessions(row.ID, v.o.Now())
			if err != nil {
				return err
			}
			if len(open) > 0 {
				return &problem{fmt.Sprintf("refusing to delete the vault %s: it has %s", name, openSessions(len(open))),
					"end the runs that use it, or `av session revoke` their sessions"}
			}
			return tx.DeleteVault(row.ID)
		}, nil
	}
	err := v.do(ctx, act{caller: c, need: RoleAdmin, file: true, verb: "delete vault", objects: []string{name}, prepare: prepare})
	if err == nil {
		v.wipe(ctx)
	}
	return err
}

// UseVault makes a vault the one that is meant when none is named.
func (v *Vault) UseVault(ctx context.Context, c Caller, name string) error {
	use := func(tx *store.Tx) error {
		row, err := vaultNamed(tx, name)
		if err != nil {
			return err
		}
		return tx.SetCurrentVault(row.ID)
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, file: true, verb: "use vault", objects: []string{name}, keyless: true,
		prepare: func() (change, error) { return use, nil }})
}

func vaultNamed(tx *store.Tx, name string) (store.Vault, error) {
	row, err := tx.VaultByName(name)
	if errors.Is(err, store.ErrNoRow) {
		return row, fmt.Errorf("%w: %q", ErrNoVault, clip(name, maxName))
	}
	return row, err
}

func openSessions(n int) string {
	if n == 1 {
		return "an open session"
	}
	return fmt.Sprintf("%d open sessions", n)
}
