package vault

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// SetServices replaces all services at once. Each credential that they name must be
// there: a typing error shall not wait for the first request to be found.
func (v *Vault) SetServices(ctx context.Context, c Caller, services []policy.Service) error {
	prepare := func() (change, error) {
		if err := policy.Validate(services); err != nil {
			return nil, err
		}
		key, err := v.dataKey(ctx)
		if err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error { return v.putServices(tx, key, nil, services) }, nil
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, verb: "set services", objects: []string{v.name}, prepare: prepare,
		mirror: func() { v.sessions.recompile(services) }})
}

// putServices replaces before, as far as it is already known to be good, with services.
func (v *Vault) putServices(tx *store.Tx, key seal.Key, before, services []policy.Service) error {
	said, err := v.said(tx)
	if err != nil {
		return err
	}
	for _, s := range changed(before, services) {
		if err := findKeys(said, s); err != nil {
			return err
		}
		if err := keepBindings(said, s); err != nil {
			return err
		}
	}
	return v.writeServices(tx, key, services)
}

func (v *Vault) writeServices(tx *store.Tx, key seal.Key, services []policy.Service) error {
	rows := make([]store.Service, len(services))
	for i, s := range services {
		body, err := json.Marshal(s)
		if err != nil {
			return err
		}
		rows[i] = store.Service{Name: s.Name, Body: string(body)}
	}
	if err := tx.ReplaceServices(v.id, rows); err != nil {
		return err
	}
	return v.sealServices(tx, key, rows)
}

// changed are those of after that are not in before as they are.
func changed(before, after []policy.Service) []policy.Service {
	known := make(map[string]policy.Service, len(before))
	for _, s := range before {
		known[s.Name] = s
	}
	var list []policy.Service
	for _, s := range after {
		if b, ok := known[s.Name]; !ok || !s.Equal(b) {
			list = append(list, s)
		}
	}
	return list
}

// findKeys refuses a service without its credential. One that is switched off waits: its
// credential is looked for when it is switched on.
func findKeys(said map[string]meta, s policy.Service) error {
	for _, key := range s.Keys() {
		if _, ok := said[key]; !ok && !s.Disabled {
			return &problem{fmt.Sprintf("service %s needs the credential %s, which is not in the vault", s.Name, key),
				"`av credential set " + key + "` first"}
		}
	}
	return nil
}

// keepBindings refuses a service that would send a credential where it is not bound to.
func keepBindings(said map[string]meta, s policy.Service) error {
	for _, key := range s.Keys() {
		if err := said[key].sentBy(s, key); err != nil {
			return err
		}
	}
	return nil
}

// said is what is said about each credential, by key.
func (v *Vault) said(tx *store.Tx) (map[string]meta, error) {
	rows, err := tx.Secrets(v.id, kindCredential)
	if err != nil {
		return nil, err
	}
	said := make(map[string]meta, len(rows))
	for _, row := range rows {
		if said[row.Name], err = metaOf(row); err != nil {
			return nil, err
		}
	}
	return said, nil
}

// Services lists the services in the order in which they were set, as they stand in the
// file: without the key nobody vouches for them.
func (v *Vault) Services(ctx context.Context, c Caller) (services []policy.Service, err error) {
	if err := v.authorise(c, RoleMember, "list services"); err != nil {
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
	return decodeServices(rows)
}

func decodeServices(rows []store.Service) ([]policy.Service, error) {
	services := make([]policy.Service, len(rows))
	for i, row := range rows {
		if err := json.Unmarshal([]byte(row.Body), &services[i]); err != nil {
			return nil, fmt.Errorf("service %s: %w: %v", row.Name, ErrCorrupt, err)
		}
	}
	return services, nil
}
