package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// ImportOptions say what an import may do.
type ImportOptions struct {
	// Overwrite lets what the backup has replace what differs in the vault.
	Overwrite bool
	// Authority takes the backup's local CA instead of the vault's own.
	Authority bool
	// DryRun changes nothing.
	DryRun bool
}

// ImportChange is what an import does to one thing.
type ImportChange struct {
	Kind string `json:"kind"` // "credential", "service" or "authority"
	Name string `json:"name"`
	What string `json:"what"` // "added", "changed", "same" or "conflict"
	// Reference is the kind of reference that the credential then is: "exec" runs a
	// command, and who has the backup may not have written it.
	Reference string `json:"reference,omitempty"`
	// Unbound says that the credential may then go to hosts that it may not go to now.
	Unbound bool `json:"unbound,omitempty"`
}

// What an import does to one thing.
const (
	importAdded    = "added"
	importChanged  = "changed"
	importSame     = "same"
	importConflict = "conflict"
)

// Import reads what Export wrote, all or nothing. Without Overwrite anything that
// differs in the vault is a conflict, and the import is refused; the changes are
// returned either way. A credential that is replaced becomes a version.
func (v *Vault) Import(ctx context.Context, c Caller, r io.Reader, o ImportOptions) ([]ImportChange, error) {
	i := importing{vault: v, ImportOptions: o}
	prepare := func() (change, error) {
		if i.backup == nil { // once, however often it is prepared
			b, err := readBackup(r)
			if err != nil {
				return nil, err
			}
			i.backup = b
		}
		var err error
		i.key, err = v.dataKey(ctx)
		return i.change, err
	}
	defer func() {
		if i.backup != nil {
			i.backup.wipe()
		}
	}()
	verb := "import"
	if o.DryRun {
		verb = "compare with a backup"
	}
	err := v.do(ctx, act{caller: c, need: RoleAdmin, verb: verb, objects: []string{v.name}, prepare: prepare, mirror: i.mirror})
	return i.changes, err
}

// change works out what there is to do, and does it unless something forbids it.
func (i *importing) change(tx *store.Tx) error {
	i.changes, i.steps = nil, nil
	for _, step := range []func(*store.Tx) error{i.credentials, i.services, i.authority} {
		if err := step(tx); err != nil {
			return err
		}
	}
	if err := i.conflicts(); err != nil && !i.DryRun {
		return err
	}
	// A service without its credential may stay so: it was exported without it.
	for _, s := range i.list {
		if err := keepBindings(i.said, s); err != nil {
			return err
		}
	}
	if i.DryRun {
		return nil
	}
	for _, step := range i.steps {
		if err := step(tx); err != nil {
			return err
		}
	}
	return nil
}

// conflicts names what would be overwritten.
func (i *importing) conflicts() error {
	var names []string
	for _, c := range i.changes {
		if c.What == importConflict {
			names = append(names, c.Kind+" "+c.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &problem{clip("the vault has another "+strings.Join(names, ", "), maxReason), "nothing was changed; look at the differences, and import with --overwrite to take the backup's"}
}

func (i *importing) mirror() {
	if i.DryRun || len(i.steps) == 0 {
		return
	}
	for _, c := range i.backup.Credentials {
		i.vault.forget(c.Key)
	}
	i.vault.sessions.recompile(i.list)
}

// what tells what becomes of something that is in the vault already, and whether it
// is to be replaced.
func (i *importing) what(there, same, allowed bool) (what string, replace bool) {
	switch {
	case !there:
		return importAdded, true
	case same:
		return importSame, false
	case allowed:
		return importChanged, true
	}
	return importConflict, false
}

func (i *importing) services(tx *store.Tx) (err error) {
	if i.list, err = i.vault.soundServices(tx, i.key); err != nil {
		return err
	}
	anything := false
	for _, s := range i.backup.Services {
		n := at(i.list, s.Name)
		what, replace := i.what(n >= 0, n >= 0 && i.list[n].Equal(s), i.Overwrite)
		i.changes = append(i.changes, ImportChange{Kind: "service", Name: s.Name, What: what})
		switch {
		case replace && n >= 0:
			i.list[n] = s
		case replace:
			i.list = append(i.list, s)
		}
		anything = anything || replace
	}
	if !anything {
		return nil
	}
	if err := policy.Validate(i.list); err != nil {
		return fmt.Errorf("import services: %w", err)
	}
	i.steps = append(i.steps, func(tx *store.Tx) error { return i.vault.writeServices(tx, i.key, i.list) })
	return nil
}

// errNotABackup is what all errors about a document are that is no backup.
var errNotABackup = errors.New("this is not a backup of av")
