package vault

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// maxBackup bounds what is read into memory, and so what is written.
const maxBackup = 64 << 20

// importing is an import under way.
type importing struct {
	ImportOptions
	vault  *Vault
	key    seal.Key
	backup *backup

	changes []ImportChange
	// steps are what is to be written, once all is known to be good.
	steps []func(*store.Tx) error
	// said and list are what the vault will say of its credentials, and its services.
	said map[string]meta
	list []policy.Service
}

// readBackup reads strictly. Its errors say where, and do not repeat what stands there.
func readBackup(r io.Reader) (*backup, error) {
	src, err := io.ReadAll(io.LimitReader(r, maxBackup+1))
	defer clear(src)
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	refuse := func(format string, args ...any) (*backup, error) {
		return nil, &problem{errNotABackup.Error() + ": " + fmt.Sprintf(format, args...), "import what `av vault export` wrote"}
	}
	if len(src) > maxBackup {
		return refuse("it has more than %d MiB", maxBackup>>20)
	}
	var head struct {
		Format  string
		Version int
	}
	if err := json.Unmarshal(src, &head); err != nil || head.Format != backupFormat {
		return refuse("it is not one JSON document with the format %q", backupFormat)
	}
	if head.Version != backupVersion {
		return nil, &problem{fmt.Sprintf("the backup is of version %d, and this av reads version %d", head.Version, backupVersion), "update av"}
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	b := &backup{}
	if err := d.Decode(b); err != nil {
		b.wipe()
		return refuse("it cannot be read near byte %d", d.InputOffset())
	}
	if err := b.check(); err != nil {
		b.wipe()
		return refuse("%v", err)
	}
	return b, nil
}

func (i *importing) credentials(tx *store.Tx) (err error) {
	if i.said, err = i.vault.said(tx); err != nil {
		return err
	}
	for _, c := range i.backup.Credentials {
		next, err := c.open(c.Key)
		if err != nil {
			return err
		}
		old, err := i.vault.openIn(tx, i.key, c.Key)
		there := !errors.Is(err, store.ErrNoRow)
		if there && err != nil {
			return err
		}
		what, replace := i.what(there, there && same(old, next), i.Overwrite)
		i.changes = append(i.changes, ImportChange{Kind: kindCredential, Name: c.Key, What: what,
			Reference: next.Ref, Unbound: there && !old.coversAll(next.meta)})
		if replace {
			i.said[c.Key] = next.meta
		}
		switch {
		case replace && there:
			next.created, next.updated, next.row = old.created, old.updated, old.row
			another := !sameValue(old, next)
			i.steps = append(i.steps, func(tx *store.Tx) error { return i.vault.replace(tx, i.key, c.Key, next, another, nil) })
		case replace:
			next.created = c.Created
			i.steps = append(i.steps, func(tx *store.Tx) error { return i.restore(tx, c, next) })
		}
	}
	return nil
}

// same tells whether two credentials hold the same on the same terms, whatever they
// held before.
func same(a, b opened) bool {
	return sameValue(a, b) && slices.Equal(a.Hosts, b.Hosts) && a.kept() == b.kept()
}

func sameValue(a, b opened) bool {
	x, y := a.sealed.Open(), b.sealed.Open()
	defer clear(x)
	defer clear(y)
	return bytes.Equal(x, y) && a.Ref == b.Ref && a.Keep == b.Keep
}

// restore writes a credential that is not there as it was, earlier values and all.
func (i *importing) restore(tx *store.Tx, c backupCredential, o opened) error {
	row, err := sealCredential(i.key, i.vault.id, c.Key, o)
	if err != nil {
		return err
	}
	if err := tx.SetSecretRow(i.vault.id, kindCredential, row); err != nil {
		return err
	}
	for _, version := range c.Versions {
		earlier, err := version.open(c.Key)
		if err != nil {
			return err
		}
		earlier.Hosts = o.Hosts // as in every vault
		row, err := sealCredential(i.key, i.vault.id, c.Key, earlier)
		if err != nil {
			return err
		}
		if err := tx.AddVersion(i.vault.id, store.Version{Secret: row, Number: earlier.Version}); err != nil {
			return err
		}
	}
	return tx.TrimVersions(i.vault.id, c.Key, o.kept())
}

// authority is for those who ask for it: the vault has a local CA of its own, which
// machines may trust already.
func (i *importing) authority(tx *store.Tx) error {
	if !i.Authority {
		return nil
	}
	a := i.backup.Authority
	if a == nil {
		return &problem{"the backup has no local CA", "import without --authority, and the vault keeps its own"}
	}
	der, err := a.check()
	if err != nil {
		return err
	}
	own, err := tx.Certificate(i.vault.id)
	if err != nil {
		return missing(err)
	}
	what, replace := i.what(true, bytes.Equal(own, der), true)
	i.changes = append(i.changes, ImportChange{Kind: kindAuthority, Name: authorityName, What: what})
	if !replace {
		return nil
	}
	box, err := i.key.Seal(authorityPlace(i.vault.id), a.Key)
	if err != nil {
		return err
	}
	i.steps = append(i.steps, func(tx *store.Tx) error {
		if err := tx.SetCertificate(i.vault.id, der); err != nil {
			return err
		}
		return tx.SetSecretRow(i.vault.id, kindAuthority, authorityRow(box, i.vault.o.Now()))
	})
	return nil
}

func (a *backupAuthority) check() (der []byte, err error) {
	block, rest := pem.Decode([]byte(a.Certificate))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		return nil, fmt.Errorf("%w: the local CA's certificate is not PEM", errNotABackup)
	}
	if err := belongsTo(a.Key, block.Bytes); err != nil {
		return nil, fmt.Errorf("import the local CA: %w", err)
	}
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !cert.IsCA {
		return nil, fmt.Errorf("%w: the local CA's certificate is not a CA's", errNotABackup)
	}
	return block.Bytes, nil
}
