package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"
)

func TestPremintedLeavesAreThoseThatAreHandedOut(t *testing.T) {
	a := authority(t, at(noon))
	a.Premint(t.Context(), slices.Values([]string{"a.test", "", "a.test", "192.0.2.1"}))
	if a.Minted() != 2 {
		t.Fatalf("minted %d, want one for each name that can have one", a.Minted())
	}
	for _, name := range []string{"a.test", "192.0.2.1"} {
		if leaf, err := a.Leaf(name); err != nil || leaf.Leaf.VerifyHostname(name) != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a.Minted() != 2 {
		t.Errorf("minted %d: a leaf that was there was minted again", a.Minted())
	}
	if _, err := a.Leaf("b.test"); err != nil || a.Minted() != 3 {
		t.Errorf("control: minted %d, %v", a.Minted(), err)
	}
}

func TestPremintingIsBoundedAndEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	many := func(stop int) func(func(string) bool) {
		return func(yield func(string) bool) {
			for i := range 10 * maxPreminted {
				if i == stop {
					cancel()
				}
				if !yield(fmt.Sprintf("%d.test", i)) {
					return
				}
			}
		}
	}
	a := authority(t, at(noon))
	a.Premint(ctx, many(-1))
	if a.Minted() != maxPreminted {
		t.Errorf("minted %d, want %d", a.Minted(), maxPreminted)
	}
	a = authority(t, at(noon))
	a.Premint(ctx, many(3))
	if a.Minted() != 3 {
		t.Errorf("minted %d after the end", a.Minted())
	}
}

// BenchmarkFirstHandshake is a client's first handshake for a name, with its leaf minted
// before and without.
func BenchmarkFirstHandshake(b *testing.B) {
	a := authority(b, at(noon))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.CertPEM())
	var cold, warm time.Duration
	for i := 0; b.Loop(); i++ {
		ready, fresh := fmt.Sprintf("ready-%d.test", i), fmt.Sprintf("fresh-%d.test", i)
		a.Premint(b.Context(), slices.Values([]string{ready}))
		warm += handshake(b, a, roots, ready) // in turns, so that a busy machine slows both
		cold += handshake(b, a, roots, fresh)
	}
	b.ReportMetric(float64(cold.Microseconds())/float64(b.N), "cold-µs")
	b.ReportMetric(float64(warm.Microseconds())/float64(b.N), "preminted-µs")
	b.ReportMetric(float64(warm)/float64(cold), "ratio")
}

func handshake(b *testing.B, a *Authority, roots *x509.CertPool, name string) time.Duration {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	server := make(chan error, 1)
	began := time.Now()
	go func() {
		server <- tls.Server(there, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.Leaf(h.ServerName)
		}, SessionTicketsDisabled: true}).Handshake()
	}()
	if err := tls.Client(here, &tls.Config{RootCAs: roots, ServerName: name, Time: at(noon)}).Handshake(); err != nil {
		b.Fatal(err)
	}
	if err := <-server; err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
