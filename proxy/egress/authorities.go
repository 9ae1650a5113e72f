package egress

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// AddAuthorities adds the certificates of a PEM file to a pool. A file that holds
// anything else is refused, not half read.
func AddAuthorities(pool *x509.CertPool, text []byte) error {
	begun := bytes.Count(text, []byte("-----BEGIN "))
	var read []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("there is a PEM block of type %q, want certificates alone", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return errors.New("there is a certificate that cannot be read")
		}
		read = append(read, certificate)
	}
	switch {
	case begun == 0:
		return errors.New("there is no PEM certificate")
	case len(read) != begun: // the decoder passes over what it cannot read
		return errors.New("there is a PEM block that cannot be read")
	}
	for _, certificate := range read {
		pool.AddCert(certificate)
	}
	return nil
}
