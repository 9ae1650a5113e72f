package policy

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const (
	pemBegin    = "-----BEGIN "
	maxCABundle = 1 << 20 // bytes of PEM for one service
)

// certificates reads a PEM bundle and writes it again: certificates alone, each
// parsed, without comments, headers and other blocks. A private key that was put
// there by mistake is refused, not stored.
func certificates(src []byte) (string, error) {
	if len(src) > maxCABundle {
		return "", fmt.Errorf("larger than %d MiB", maxCABundle>>20)
	}
	var out strings.Builder
	for {
		var block *pem.Block
		block, src = pem.Decode(src)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return "", fmt.Errorf("there is a PEM block of type %q, want certificates alone", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Errorf("read certificate: %w", err)
		}
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
	}
	if out.Len() == 0 {
		return "", errors.New("there is no PEM certificate")
	}
	return out.String(), nil
}
