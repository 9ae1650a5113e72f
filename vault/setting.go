package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// Setting is one credential as it is to be stored: a value, or a reference to one. With
// neither, what the credential holds stays, and only what else is given here changes.
type Setting struct {
	Key       string
	Value     Value
	Reference Reference
	// Hosts are the only hosts that it may ever go to, exact or one-level wildcards. Nil
	// leaves the binding that the credential has; empty and not nil removes it.
	Hosts []string
	// Versions is how many earlier values stay; nil leaves it as it is, which is 10 at first.
	Versions *int
}

// Set stores all credentials, or none. What was the value before becomes a version.
func (v *Vault) Set(ctx context.Context, c Caller, settings ...Setting) error {
	keys := make([]string, len(settings))
	for i, s := range settings {
		keys[i] = s.Key
	}
	prepare := func() (change, error) {
		checked, err := checkSettings(settings)
		if err != nil {
			return nil, err
		}
		key, err := v.dataKey(ctx)
		if err != nil {
			return nil, err
		}
		return func(tx *store.Tx) error {
			services, err := readServices(tx, v.id)
			if err != nil {
				return err
			}
			for _, s := range checked {
				if err := v.set(tx, key, s, services); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
	return v.do(ctx, act{caller: c, need: RoleMember, verb: "set credential", objects: objectNames(keys), prepare: prepare,
		mirror: func() { v.forget(keys...) }})
}

// SetCredential stores one value, in place of an earlier one.
func (v *Vault) SetCredential(ctx context.Context, c Caller, key string, val Value) error {
	return v.Set(ctx, c, Setting{Key: key, Value: val})
}

// SetCredentials stores all values, or none.
func (v *Vault) SetCredentials(ctx context.Context, c Caller, values map[string]Value) error {
	settings := make([]Setting, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		settings = append(settings, Setting{Key: key, Value: values[key]})
	}
	return v.Set(ctx, c, settings...)
}

// set replaces what a credential holds within tx.
func (v *Vault) set(tx *store.Tx, key seal.Key, s Setting, services []policy.Service) error {
	old, err := v.openIn(tx, key, s.Key)
	if errors.Is(err, store.ErrNoRow) {
		if !s.holds() {
			return noCredential(s.Key, err)
		}
		old, err = opened{created: v.o.Now()}, nil
	}
	if err != nil {
		// Not even to replace it: a binding that somebody took off would stay off.
		return err
	}
	next := old
	next.apply(s)
	return v.replace(tx, key, s.Key, next, s.holds(), services)
}

// holds tells whether s brings something to hold.
func (s Setting) holds() bool { return !s.Value.IsZero() || s.Reference.Kind != "" }

func (o *opened) apply(s Setting) {
	if s.holds() {
		o.sealed, o.Ref, o.Keep = s.Value, s.Reference.Kind, s.Reference.Keep
	}
	if s.Reference.Kind != "" {
		o.sealed = NewValue([]byte(s.Reference.Target))
	}
	if s.Hosts != nil {
		o.Hosts = s.Hosts
	}
	if s.Versions != nil {
		o.Versions = s.Versions
	}
}

// replace makes next what the credential holds. If that is another value, the row that
// next was made of becomes a version; what changes besides is said of the same value.
func (v *Vault) replace(tx *store.Tx, key seal.Key, name string, next opened, another bool, services []policy.Service) error {
	for _, s := range services {
		if err := next.sentBy(s, name); err != nil {
			return err
		}
	}
	before := next.row
	next.Version = 1
	if another {
		next.updated = v.o.Now()
	}
	if before.Sealed != nil {
		said, err := metaOf(before)
		if err != nil {
			return err
		}
		next.Version = said.Version
		if another {
			next.Version++
			if err := tx.AddVersion(v.id, store.Version{Secret: before, Number: said.Version}); err != nil {
				return err
			}
		}
		if err := tx.TrimVersions(v.id, name, next.kept()); err != nil {
			return err
		}
		if !slices.Equal(said.Hosts, next.Hosts) {
			if err := v.rebind(tx, key, name, next.Hosts); err != nil {
				return err
			}
		}
	}
	row, err := sealCredential(key, v.id, name, next)
	if err != nil {
		return err
	}
	return tx.SetSecretRow(v.id, kindCredential, row)
}

// rebind has earlier values go where the newest one may. A row that was sealed without the
// binding could be put back by whoever can write the file, and sent anywhere.
func (v *Vault) rebind(tx *store.Tx, key seal.Key, name string, hosts []string) error {
	rows, err := tx.Versions(v.id, name)
	if err != nil {
		return err
	}
	for _, row := range rows {
		o, err := openCredential(key, v.id, row.Secret)
		if err != nil {
			return err
		}
		o.Hosts = hosts
		if row.Secret, err = sealCredential(key, v.id, name, o); err != nil {
			return err
		}
		if err := tx.ResealVersion(v.id, row); err != nil {
			return err
		}
	}
	return nil
}

// sentBy refuses a service that would send the credential where it is not bound to. One
// that is switched off counts: it may be switched on any time.
func (m meta) sentBy(s policy.Service, name string) error {
	if !slices.Contains(s.Keys(), name) || m.coversService(s) {
		return nil
	}
	return &boundError{
		text: fmt.Sprintf("service %s would send the credential %s to %s, and it is bound to %s", s.Name, name, s.Host, strings.Join(m.Hosts, ", ")),
		hint: fmt.Sprintf("change the service, or bind the credential to that host too: `av credential bind %s %s %s`", name, strings.Join(m.Hosts, " "), s.Host),
	}
}

// boundError is ErrBound with the service's name.
type boundError struct{ text, hint string }

func (e *boundError) Error() string { return e.text }
func (e *boundError) Hint() string  { return e.hint }
func (e *boundError) Unwrap() error { return ErrBound }
