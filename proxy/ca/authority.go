// Package ca mints the leaf certificates that the proxy shows to the programs in the box.
// It signs exact names only, and never says or writes the key.
package ca

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// Authority is a vault's certificate authority, with the leaves it has minted.
type Authority struct {
	cert *x509.Certificate
	pem  []byte
	key  *ecdsa.PrivateKey
	now  func() time.Time

	leaves  *lru.Cache[string, *tls.Certificate]
	minting singleflight.Group
	minted  atomic.Int64
}

// New takes the authority's certificate as PEM and its key as PKCS#8 DER.
func New(certPEM, keyDER []byte, now func() time.Time) (*Authority, error) {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	key, err := parseKey(keyDER)
	if err != nil {
		return nil, fmt.Errorf("read the authority's key: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the authority's key does not belong to its certificate")
	}
	if t := now(); t.Before(cert.NotBefore) || t.After(cert.NotAfter) {
		return nil, fmt.Errorf("the authority's certificate is valid from %s to %s only",
			cert.NotBefore.Format(time.DateOnly), cert.NotAfter.Format(time.DateOnly))
	}
	leaves, err := lru.New[string, *tls.Certificate](maxLeaves)
	if err != nil {
		return nil, fmt.Errorf("make the leaf cache: %w", err)
	}
	return &Authority{
		cert:   cert,
		pem:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		key:    key,
		now:    now,
		leaves: leaves,
	}, nil
}

func parseCertificate(src []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(src)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("not a PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("it is not an authority: it may not sign certificates")
	}
	return cert, nil
}

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The parser's own words could quote what it found in the key.
		return nil, errors.New("not a PKCS#8 key")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	return key, nil
}

// CertPEM is the authority's certificate, for the trust stores in the box.
func (a *Authority) CertPEM() []byte { return append([]byte(nil), a.pem...) }

// Minted counts the leaves made since New. A denied name adds nothing to it.
func (a *Authority) Minted() int64 { return a.minted.Load() }
