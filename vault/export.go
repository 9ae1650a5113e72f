package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// Export writes everything that is worth keeping of the vault as JSON: credentials with
// their earlier values and bindings, services, the local CA. It is all in the clear:
// the caller encrypts it on the way to w.
func (v *Vault) Export(ctx context.Context, c Caller, w io.Writer) error {
	var s snapshot
	prepare := func() (change, error) {
		var err error
		s, err = v.snapshot(ctx)
		return nothing, err
	}
	// The row in the audit table comes first: nothing leaves without it.
	if err := v.do(ctx, act{caller: c, need: RoleAdmin, verb: "export", objects: []string{v.name}, prepare: prepare}); err != nil {
		return err
	}
	if err := v.writeBackup(&capped{w, maxBackup}, s); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// snapshot is one state of the vault, still sealed.
type snapshot struct {
	key         seal.Key
	credentials []store.Secret
	versions    map[string][]store.Version
	services    []policy.Service
	certificate []byte
	authority   []byte
}

func (v *Vault) snapshot(ctx context.Context) (s snapshot, err error) {
	err = v.view(ctx, func(tx *store.Tx, data seal.Key) (err error) {
		s = snapshot{key: data, versions: map[string][]store.Version{}}
		if s.credentials, err = tx.Secrets(v.id, kindCredential); err != nil {
			return err
		}
		versions, err := tx.AllVersions(v.id)
		if err != nil {
			return err
		}
		for _, version := range versions {
			s.versions[version.Name] = append(s.versions[version.Name], version)
		}
		if s.services, err = v.soundServices(tx, data); err != nil {
			return err
		}
		if s.certificate, err = tx.Certificate(v.id); err != nil {
			return missing(err)
		}
		s.authority, err = tx.Secret(v.id, kindAuthority, authorityName)
		return missing(err)
	})
	return s, err
}

// writeBackup opens one credential at a time: a large vault is never in memory in the
// clear as a whole.
func (v *Vault) writeBackup(w io.Writer, s snapshot) error {
	head, err := json.Marshal(backup{Format: backupFormat, Version: backupVersion, Vault: v.name, Created: v.o.Now().UTC()})
	if err != nil {
		return err
	}
	const empty = `"credentials":null,"services":null}`
	if _, err := fmt.Fprintf(w, "%s\"credentials\":[", head[:len(head)-len(empty)]); err != nil {
		return err
	}
	for i, row := range s.credentials {
		if err := v.writeCredential(w, s, row, i > 0); err != nil {
			return err
		}
	}
	services, err := json.Marshal(append([]policy.Service{}, s.services...))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n],\"services\":%s,\n\"authority\":", services); err != nil {
		return err
	}
	if err := v.writeAuthority(w, s); err != nil {
		return err
	}
	_, err = io.WriteString(w, "}\n")
	return err
}

func (v *Vault) writeCredential(w io.Writer, s snapshot, row store.Secret, comma bool) error {
	separator := "\n"
	if comma {
		separator = ",\n"
	}
	if _, err := io.WriteString(w, separator); err != nil {
		return err
	}
	o, err := openCredential(s.key, v.id, row)
	if err != nil {
		return err
	}
	c := backupCredential{Key: row.Name, Created: row.Created, backupValue: newBackupValue(o)}
	defer func() { c.wipe() }()
	for _, version := range s.versions[row.Name] {
		o, err := openCredential(s.key, v.id, version.Secret)
		if err != nil {
			return err
		}
		c.Versions = append(c.Versions, newBackupValue(o))
	}
	return writeJSON(w, c)
}

func (v *Vault) writeAuthority(w io.Writer, s snapshot) error {
	key, err := openRow(s.key, authorityPlace(v.id), s.authority)
	if err != nil {
		return err
	}
	defer clear(key)
	return writeJSON(w, backupAuthority{string(certificatePEM(s.certificate)), key})
}

// capped refuses what an import would refuse: better no backup than one that cannot be
// read back.
type capped struct {
	io.Writer
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		return 0, &problem{fmt.Sprintf("the vault has more than the %d MiB that a backup may have", maxBackup>>20),
			"keep fewer earlier values of what is large (`av credential set KEY --versions N`), or copy the files of the database while no av runs"}
	}
	return c.Writer.Write(p)
}

// writeJSON leaves no copy of its own behind.
func writeJSON(w io.Writer, x any) error {
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	defer clear(b)
	_, err = w.Write(b)
	return err
}
