package vault

import (
	"context"
	"slices"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// AddServices adds services behind those that are there, all or none. It refuses a name
// that is taken.
func (v *Vault) AddServices(ctx context.Context, c Caller, services ...policy.Service) error {
	names := make([]string, len(services))
	for i, s := range services {
		names[i] = s.Name
	}
	return v.editServices(ctx, c, "add service", names, func(list []policy.Service) ([]policy.Service, error) {
		for _, s := range services {
			if at(list, s.Name) >= 0 {
				return nil, &problem{"there is a service " + clip(s.Name, maxName) + " already", "give the new one another name, or `av service remove` the old one first"}
			}
			list = append(list, s)
		}
		return list, nil
	})
}

// RemoveServices removes services by name, all or none.
func (v *Vault) RemoveServices(ctx context.Context, c Caller, names ...string) error {
	return v.editServices(ctx, c, "remove service", names, func(list []policy.Service) ([]policy.Service, error) {
		for _, name := range names {
			i := at(list, name)
			if i < 0 {
				return nil, noService(name)
			}
			list = slices.Delete(list, i, i+1)
		}
		return list, nil
	})
}

// EnableServices switches services on or off by name, all or none.
func (v *Vault) EnableServices(ctx context.Context, c Caller, on bool, names ...string) error {
	verb := "disable service"
	if on {
		verb = "enable service"
	}
	return v.editServices(ctx, c, verb, names, func(list []policy.Service) ([]policy.Service, error) {
		for _, name := range names {
			i := at(list, name)
			if i < 0 {
				return nil, noService(name)
			}
			list[i].Disabled = !on
		}
		return list, nil
	})
}

// editServices reads the list and writes it again in one transaction: of two processes
// that edit at once, neither undoes what the other did.
func (v *Vault) editServices(ctx context.Context, c Caller, verb string, names []string, edit func([]policy.Service) ([]policy.Service, error)) error {
	var after []policy.Service
	prepare := func() (change, error) {
		if len(names) == 0 {
			return nil, &problem{"no service was named", "`av service list` shows those there are"}
		}
		key, err := v.dataKey(ctx)
		if err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error {
			before, err := v.soundServices(tx, key)
			if err != nil {
				return err
			}
			if after, err = edit(slices.Clone(before)); err != nil {
				return err
			}
			if err := policy.Validate(after); err != nil {
				return err
			}
			return v.putServices(tx, key, before, after)
		}, nil
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, verb: verb, objects: names, prepare: prepare,
		mirror: func() { v.sessions.recompile(after) }})
}

func at(list []policy.Service, name string) int {
	return slices.IndexFunc(list, func(s policy.Service) bool { return s.Name == name })
}

func noService(name string) error {
	return &problem{"there is no service " + clip(name, maxName), "`av service list` shows those there are"}
}
