package fakenet

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Vendor serves a test's own handler by HTTPS at VendorAddr, as each of the names: those of real vendors too, which lead
// here for whoever looks them up in a file of the test's. The certificates are this internet's own.
func (n *Net) Vendor(handler http.Handler, names ...string) error {
	leaves := map[string]*tls.Certificate{}
	for _, name := range names {
		leaf, err := n.ca.issue(name)
		if err != nil {
			return fmt.Errorf("make a certificate for %s: %w", name, err)
		}
		leaves[name] = leaf
	}
	ln, err := n.Listen(netip.AddrPortFrom(VendorAddr, 443))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: handler,
		TLSConfig: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if leaf := leaves[strings.ToLower(hello.ServerName)]; leaf != nil {
				return leaf, nil
			}
			return nil, fmt.Errorf("%q is not among %q", hello.ServerName, slices.Clone(names))
		}},
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return n.ctx },
	}
	n.until(server)
	n.serving.Go(func() { _ = server.ServeTLS(ln, "", "") })
	return nil
}
