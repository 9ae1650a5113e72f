package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"time"
)

const (
	authorityYears = 10
	// clockSkew is how far a client's clock may be behind ours.
	clockSkew = time.Hour
)

// identity is a certificate and its PKCS#8 key.
type identity struct {
	der []byte
	key Value
}

// newAuthority makes the local CA of a vault. It can sign leaves and no other CA;
// its name differs from vault to vault, so that a trust store shows which is which.
func newAuthority(now time.Time) (identity, error) {
	var short [4]byte
	_, _ = rand.Read(short[:])
	return selfSigned(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "av " + hex.EncodeToString(short[:]) + " local CA"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	})
}

// newClient makes the client certificate of one session.
func newClient(id string, from, until time.Time) (identity, error) {
	return selfSigned(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "av session " + id},
		NotBefore:   from.Add(-clockSkew),
		NotAfter:    until,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// selfSigned makes a P-256 key and the certificate that template describes.
func selfSigned(template *x509.Certificate) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return identity{}, err
	}
	defer clear(pkcs8)
	return identity{der, NewValue(pkcs8)}, nil
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(pkcs8 Value) Value {
	der := pkcs8.Open()
	defer clear(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	defer clear(text)
	return NewValue(text)
}
