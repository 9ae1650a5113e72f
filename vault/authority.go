package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// Certificate is the local CA's certificate, which is no secret.
func (v *Vault) Certificate(ctx context.Context, c Caller) (certPEM []byte, err error) {
	if err := v.authorise(c, RoleProxy, "read the CA certificate"); err != nil {
		return nil, err
	}
	err = v.db.View(ctx, func(tx *store.Tx) error {
		der, err := tx.Certificate(v.id)
		certPEM = certificatePEM(der)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the local CA: %w", missing(err))
	}
	return certPEM, nil
}

// Authority is the local CA with its key, as PKCS#8 DER.
func (v *Vault) Authority(ctx context.Context, c Caller) (certPEM []byte, key Value, err error) {
	prepare := func() (change, error) {
		var der, plain []byte
		// A wrong password is no fault of the CA's.
		if _, err := v.dataKey(ctx); err != nil {
			return nil, err
		}
		err := v.view(ctx, func(tx *store.Tx, data seal.Key) (err error) {
			if der, err = tx.Certificate(v.id); err != nil {
				return missing(err)
			}
			box, err := tx.Secret(v.id, kindAuthority, authorityName)
			if err != nil {
				return missing(err)
			}
			plain, err = openRow(data, authorityPlace(v.id), box)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the local CA: %w", err)
		}
		if err := belongsTo(plain, der); err != nil {
			return nil, fmt.Errorf("read the local CA: %w", err)
		}
		certPEM, key = certificatePEM(der), NewValue(plain)
		clear(plain)
		return nothing, nil
	}
	err = v.do(ctx, act{caller: c, need: RoleAdmin, verb: "read the CA key", objects: []string{authorityName}, prepare: prepare})
	if err != nil {
		return nil, Value{}, err
	}
	return certPEM, key, nil
}

func authorityPlace(vault string) seal.Place {
	return seal.Place{Vault: vault, Kind: kindAuthority, Name: authorityName}
}

// authorityRow is the row of a CA's sealed key that was made or taken over now.
func authorityRow(box []byte, now time.Time) store.Secret {
	return store.Secret{Name: authorityName, Sealed: box, Created: now, Updated: now}
}

// belongsTo refuses a certificate that was put beside a key which is not its own:
// the certificate is not sealed, the key is.
func belongsTo(pkcs8, der []byte) error {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return fmt.Errorf("%w: its key cannot be read", ErrCorrupt)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("%w: its key is not ECDSA", ErrCorrupt)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("%w: its certificate cannot be read", ErrCorrupt)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return fmt.Errorf("%w: its certificate and its key do not belong together", ErrCorrupt)
	}
	return nil
}
