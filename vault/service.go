package vault

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// SetServices replaces all services at once. Each credential that they name must be
// there: a typing error shall not wait for the first request to be found.
func (v *Vault) SetServices(ctx context.Context, c Caller, services []policy.Service) error {
	prepare := func() (change, error) {
		if err := policy.Validate(services); err != nil {
			return nil, err
		}
		rows := make([]store.Service, len(services))
		for i, s := range services {
			body, err := json.Marshal(s)
			if err != nil {
				return nil, err
			}
			rows[i] = store.Service{Name: s.Name, Body: string(body)}
		}
		if _, err := v.dataKey(ctx); err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error {
			if err := v.checkKeys(tx, services); err != nil {
				return err
			}
			return tx.ReplaceServices(v.id, rows)
		}, nil
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, verb: "set services", objects: []string{defaultVault}, prepare: prepare,
		mirror: func() { v.sessions.recompile(services) }})
}

func (v *Vault) checkKeys(tx *store.Tx, services []policy.Service) error {
	rows, err := tx.Secrets(v.id, kindCredential)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(rows))
	for _, row := range rows {
		there[row.Name] = true
	}
	for _, s := range services {
		for _, key := range s.Keys() {
			if !there[key] {
				return &problem{fmt.Sprintf("service %s needs the credential %s, which is not in the vault", s.Name, key),
					"`av credential set " + key + "` first"}
			}
		}
	}
	return nil
}

// Services lists the services in the order in which they were set.
func (v *Vault) Services(ctx context.Context, c Caller) (services []policy.Service, err error) {
	if err := authorise(c, RoleMember, "list services"); err != nil {
		return nil, err
	}
	err = v.db.View(ctx, func(tx *store.Tx) (err error) {
		services, err = readServices(tx, v.id)
		return err
	})
	return services, err
}

func readServices(tx *store.Tx, vault string) ([]policy.Service, error) {
	rows, err := tx.Services(vault)
	if err != nil {
		return nil, err
	}
	services := make([]policy.Service, len(rows))
	for i, row := range rows {
		if err := json.Unmarshal([]byte(row.Body), &services[i]); err != nil {
			return nil, fmt.Errorf("service %s: %w: %v", row.Name, ErrCorrupt, err)
		}
	}
	return services, nil
}
