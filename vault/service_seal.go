package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// The services of a vault stand in the clear, and decide where its credentials go. So the
// list as a whole is sealed with the data key: who can write the file and has no key can
// neither name another host nor have one dialled elsewhere (upstream), nor take a service
// away or put an old one back.
const (
	kindServices = "services"
	servicesName = "list"
)

// errUnsealedServices says that there are services of which nobody who had the key has said that
// they are the vault's: the file is of an av that did not seal them, or the seal was
// taken away. Which of the two the file cannot say.
var errUnsealedServices error = &problem{"the services are not sealed with the vault's key",
	"look at `av service list`, and set what is right with `av service set -f FILE`"}

// digest is the list's: each part follows its length, so that no two lists have one.
func digest(rows []store.Service) string {
	h := sha256.New()
	for _, row := range rows {
		writeParts(h, row.Name, row.Body)
	}
	return fmt.Sprintf("%d sha256:%s", len(rows), hex.EncodeToString(h.Sum(nil)))
}

func servicesPlace(vault, digest string) seal.Place {
	return seal.Place{Vault: vault, Kind: kindServices, Name: servicesName, Bound: digest}
}

// sealServices says with the data key which services there are.
func (v *Vault) sealServices(tx *store.Tx, key seal.Key, rows []store.Service) error {
	row := store.Secret{Name: servicesName, Meta: digest(rows), Created: v.o.Now(), Updated: v.o.Now()}
	var err error
	if row.Sealed, err = key.Seal(servicesPlace(v.id, row.Meta), nil); err != nil {
		return err
	}
	return tx.SetSecretRow(v.id, kindServices, row)
}

// soundServices are the services, if they are those that were sealed.
func (v *Vault) soundServices(tx *store.Tx, key seal.Key) ([]policy.Service, error) {
	rows, err := tx.Services(v.id)
	if err != nil {
		return nil, err
	}
	kept, err := tx.SecretRow(v.id, kindServices, servicesName)
	switch {
	case errors.Is(err, store.ErrNoRow) && len(rows) == 0:
		return nil, nil // none were ever set
	case errors.Is(err, store.ErrNoRow):
		return nil, errUnsealedServices
	case err != nil:
		return nil, err
	}
	// What is opened is the digest of the rows as they are now.
	if _, err := key.Open(servicesPlace(v.id, digest(rows)), kept.Sealed); err != nil {
		return nil, fmt.Errorf("%w: its services were changed by somebody without the key", ErrCorrupt)
	}
	return decodeServices(rows)
}
