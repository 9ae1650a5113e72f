package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/netip"
	"time"
)

// Leaf returns the certificate for name, which is a canonical host name or an IP
// literal. Many callers at once cost one mint.
func (a *Authority) Leaf(name string) (*tls.Certificate, error) {
	if leaf, ok := a.cached(name); ok {
		return leaf, nil
	}
	made, err, _ := a.minting.Do(name, func() (any, error) {
		// The caller before us may have put it there since we looked.
		if leaf, ok := a.cached(name); ok {
			return leaf, nil
		}
		leaf, err := a.mint(name)
		if err != nil {
			return nil, err
		}
		a.leaves.Add(name, leaf)
		return leaf, nil
	})
	if err != nil {
		return nil, fmt.Errorf("mint a leaf for %q: %w", name, err)
	}
	return made.(*tls.Certificate), nil
}

func (a *Authority) cached(name string) (*tls.Certificate, bool) {
	leaf, ok := a.leaves.Get(name)
	if !ok || !fresh(leaf.Leaf, a.now()) {
		return nil, false
	}
	return leaf, true
}

// fresh tells whether leaf may still be handed out.
func fresh(leaf *x509.Certificate, now time.Time) bool {
	return now.After(leaf.NotBefore) && now.Add(renewBefore).Before(leaf.NotAfter)
}

func (a *Authority) mint(name string) (*tls.Certificate, error) {
	template, err := template(name, a.now())
	if err != nil {
		return nil, err
	}
	// A leaf that outlives its authority is refused by some clients and not by others.
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a.minted.Add(1)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// template is a leaf for exactly name: no wildcard and no second name, so that what
// one tunnel was allowed vouches for nothing else.
func template(name string, now time.Time) (*x509.Certificate, error) {
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("a name has 1 to %d characters", maxName)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{Organization: []string{"av"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if len(name) <= 64 { // X.520's bound on a common name
		t.Subject.CommonName = name
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		if addr.Zone() != "" {
			return nil, fmt.Errorf("a certificate has no place for the zone of %s", addr)
		}
		t.IPAddresses = append(t.IPAddresses, addr.AsSlice())
		return t, nil
	}
	t.DNSNames = []string{name}
	return t, nil
}
