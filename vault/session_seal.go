package vault

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// A session's row lets somebody use the vault's services, and its hashes need no key to be
// made. So each is sealed with the data key: who can write the file and has no key can
// neither plant a session, nor widen one or make it last. The seal goes when the session
// ends, so none that was revoked is made to look open again.

const kindSession = "session"

// sessionDigest is what the row says that does not change while the session is open. Each
// part follows its length, so that no two rows have one.
func sessionDigest(s store.Session) string {
	h := sha256.New()
	h.Write([]byte("av session\x00"))
	writeParts(h, s.ID, s.Run, string(s.TokenHash[:]), string(s.CertificateHash[:]), s.Policy)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(s.Created.UnixNano())))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(s.Expires.UnixNano())))
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func sessionPlace(vault string, s store.Session) seal.Place {
	return seal.Place{Vault: vault, Kind: kindSession, Name: s.ID, Bound: sessionDigest(s)}
}

// addSession writes a session's row and seals it.
func (v *Vault) addSession(tx *store.Tx, key seal.Key, s store.Session) error {
	box, err := key.Seal(sessionPlace(v.id, s), nil)
	if err != nil {
		return err
	}
	return errors.Join(
		tx.AddSession(v.id, s),
		tx.SetSecretRow(v.id, kindSession, store.Secret{Name: s.ID, Sealed: box, Meta: sessionDigest(s), Created: s.Created, Updated: s.Created}),
	)
}

// soundSession returns ErrNoRow for a session that nobody sealed, and ErrCorrupt for one
// that says something else than when it was.
func (v *Vault) soundSession(tx *store.Tx, key seal.Key, s store.Session) error {
	box, err := tx.Secret(v.id, kindSession, s.ID)
	if err != nil {
		return err
	}
	if _, err := key.Open(sessionPlace(v.id, s), box); err != nil {
		return fmt.Errorf("session %s: %w: it was changed by somebody without the key", clip(s.ID, maxName), ErrCorrupt)
	}
	return nil
}

// endSeals takes away what lets ended sessions in.
func (v *Vault) endSeals(tx *store.Tx, ids ...string) error {
	for _, id := range ids {
		if err := tx.DeleteSecret(v.id, kindSession, id); err != nil && !errors.Is(err, store.ErrNoRow) {
			return err
		}
	}
	return nil
}
