// Package seal encrypts what the vault keeps. A ciphertext opens in the one place
// it was made for and nowhere else: whoever can write the file can destroy it, but
// cannot change a secret or put one where another belongs.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// KeySize is 256 bits, for AES-256.
const KeySize = 32

// An envelope is a version byte, a nonce, and AES-256-GCM's output.
const (
	version   = 1
	nonceSize = 12
	overhead  = 1 + nonceSize + 16
)

// ErrOpen is the one answer to whatever does not open: another key, another place,
// a flipped bit. Telling them apart would only help whoever tries.
var ErrOpen = errors.New("sealed data does not open with this key in this place")

// Key seals and opens. Its bytes sit behind a closure, so that no printer finds them.
type Key struct{ reveal func() []byte }

// NewKey makes a random key.
func NewKey() Key {
	b := make([]byte, KeySize)
	_, _ = rand.Read(b) // never fails: the program ends instead
	return Key{func() []byte { return b }}
}

// keyFrom keeps a copy of b.
func keyFrom(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("a key of %d bytes, want %d", len(b), KeySize)
	}
	kept := bytes.Clone(b)
	return Key{func() []byte { return kept }}, nil
}

// Place is where a ciphertext belongs: the row it stands in.
type Place struct {
	Vault, Kind, Name string
	// Bound is what the row says in the clear about what is sealed, such as the hosts that
	// a credential may go to: changed there, it does not open.
	Bound string
}

// associated is p as associated data. Each part follows its length: without it,
// kind "a" and name "bc" would be the same place as "ab" and "c".
func (p Place) associated() []byte {
	b := []byte("av seal\x00")
	b = append(b, version)
	parts := []string{p.Vault, p.Kind, p.Name}
	if p.Bound != "" {
		parts = append(parts, p.Bound)
	}
	for _, part := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// Seal encrypts plain for its place, under a fresh nonce.
func (k Key) Seal(p Place, plain []byte) ([]byte, error) {
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:])
	return k.sealWith(nonce, p, plain)
}

func (k Key) sealWith(nonce [nonceSize]byte, p Place, plain []byte) ([]byte, error) {
	gcm, err := k.aead()
	if err != nil {
		return nil, err
	}
	envelope := make([]byte, 0, overhead+len(plain))
	envelope = append(envelope, version)
	envelope = append(envelope, nonce[:]...)
	return gcm.Seal(envelope, nonce[:], plain, p.associated()), nil
}

// Open decrypts what was sealed with k for p.
func (k Key) Open(p Place, envelope []byte) ([]byte, error) {
	gcm, err := k.aead()
	if err != nil {
		return nil, err
	}
	if len(envelope) < overhead || envelope[0] != version {
		return nil, ErrOpen
	}
	nonce, box := envelope[1:1+nonceSize], envelope[1+nonceSize:]
	plain, err := gcm.Open(nil, nonce, box, p.associated())
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

func (k Key) aead() (cipher.AEAD, error) {
	if k.reveal == nil {
		return nil, errors.New("there is no key")
	}
	block, err := aes.NewCipher(k.reveal())
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
