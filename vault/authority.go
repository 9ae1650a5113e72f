package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"

	"github.com/av-project/av/vault/store"
)

// Certificate is the local CA's certificate, which is no secret.
func (v *Vault) Certificate(ctx context.Context, c Caller) (certPEM []byte, err error) {
	if err := authorise(c, RoleProxy, "read the CA certificate"); err != nil {
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
		var der, box []byte
		err := v.db.View(ctx, func(tx *store.Tx) (err error) {
			if der, err = tx.Certificate(v.id); err != nil {
				return err
			}
			box, err = tx.Secret(v.id, kindAuthority, authorityName)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the local CA: %w", missing(err))
		}
		plain, err := v.open(ctx, kindAuthority, authorityName, box)
		if err != nil {
			return nil, err
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
