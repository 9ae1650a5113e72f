package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when these tests take place.
var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// root makes an authority's certificate and key; change edits the certificate first.
func root(t testing.TB, change func(*x509.Certificate)) (certPEM, keyDER []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "av test local CA"},
		NotBefore:             noon.Add(-time.Hour),
		NotAfter:              noon.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err = x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyDER
}

func authority(t testing.TB, now func() time.Time) *Authority {
	t.Helper()
	cert, key := root(t, nil)
	a, err := New(cert, key, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

func TestLeafIsExactlyForItsName(t *testing.T) {
	a := authority(t, at(noon))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.CertPEM())
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".test"
	for _, name := range []string{"api.vendor.test", "xn--bcher-kva.test", "203.0.113.7", "2001:db8::7", long} {
		t.Run(name, func(t *testing.T) {
			c, err := a.Leaf(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: noon}); err != nil {
				t.Errorf("does not verify for its own name: %v", err)
			}
			if n := len(c.Leaf.DNSNames) + len(c.Leaf.IPAddresses); n != 1 {
				t.Errorf("it has %d names, want 1: %v %v", n, c.Leaf.DNSNames, c.Leaf.IPAddresses)
			}
			for _, other := range []string{"www." + name, "vendor.test", "203.0.113.8"} {
				if c.Leaf.VerifyHostname(other) == nil {
					t.Errorf("also valid for %s", other)
				}
			}
			if key, ok := c.PrivateKey.(*ecdsa.PrivateKey); !ok || key.Curve != elliptic.P256() {
				t.Errorf("its key is %T, want ECDSA on P-256", c.PrivateKey)
			}
			if c.Leaf.IsCA || c.Leaf.KeyUsage&x509.KeyUsageCertSign != 0 {
				t.Error("it can sign other certificates")
			}
			if got := fmt.Sprint(c.Leaf.ExtKeyUsage); got != fmt.Sprint([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
				t.Errorf("extended key usage %s, want server only", got)
			}
			// Python 3.13 and others ask for it.
			if len(c.Leaf.AuthorityKeyId) == 0 {
				t.Error("it does not name its authority's key")
			}
		})
	}
}

func TestLeafLivesOneDayAndIsBackdatedAnHour(t *testing.T) {
	c, err := authority(t, at(noon)).Leaf("api.vendor.test")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Leaf.NotBefore; !got.Equal(noon.Add(-time.Hour)) {
		t.Errorf("valid from %s", got)
	}
	if got := c.Leaf.NotAfter; !got.Equal(noon.Add(24 * time.Hour)) {
		t.Errorf("valid until %s", got)
	}
}

func TestLeafIsRenewedBeforeItExpires(t *testing.T) {
	now := noon
	a := authority(t, func() time.Time { return now })
	first, err := a.Leaf("api.vendor.test")
	if err != nil {
		t.Fatal(err)
	}
	now = noon.Add(17 * time.Hour)
	if same, _ := a.Leaf("api.vendor.test"); same != first {
		t.Error("minted again with seven hours left")
	}
	now = noon.Add(18*time.Hour + time.Minute)
	renewed, err := a.Leaf("api.vendor.test")
	if err != nil {
		t.Fatal(err)
	}
	if renewed == first || !renewed.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("handed out a leaf that is about to expire")
	}
}

func TestLeafDoesNotOutliveItsAuthority(t *testing.T) {
	end := noon.Add(8 * time.Hour)
	cert, key := root(t, func(c *x509.Certificate) { c.NotAfter = end })
	a, err := New(cert, key, at(noon))
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Leaf("api.vendor.test")
	if err != nil {
		t.Fatal(err)
	}
	if !c.Leaf.NotAfter.Equal(end) {
		t.Errorf("leaf ends %s, its authority %s", c.Leaf.NotAfter, end)
	}
}

func TestHundredCallersCostOneMint(t *testing.T) {
	a := authority(t, at(noon))
	leaves := make([]*tls.Certificate, 100)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range leaves {
		wg.Go(func() {
			<-start
			leaves[i], _ = a.Leaf("api.vendor.test")
		})
	}
	close(start)
	wg.Wait()
	for i, leaf := range leaves {
		if leaf == nil || leaf != leaves[0] {
			t.Fatalf("caller %d got another leaf", i)
		}
	}
	if a.Minted() != 1 {
		t.Errorf("minted %d leaves, want 1", a.Minted())
	}
}

func TestLeafCacheIsBounded(t *testing.T) {
	a := authority(t, at(noon))
	for i := range maxLeaves + 1 {
		if _, err := a.Leaf(fmt.Sprintf("host-%d.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.leaves.Len(); n != maxLeaves {
		t.Errorf("%d leaves kept, want %d", n, maxLeaves)
	}
	if _, err := a.Leaf("host-0.test"); err != nil {
		t.Errorf("the one that made room cannot come back: %v", err)
	}
}

func TestNamesThatNoCertificateCanHoldAreRefused(t *testing.T) {
	a := authority(t, at(noon))
	for _, name := range []string{"", strings.Repeat("a", maxName+1), "fe80::1%eth0", "b\u00fccher.test"} {
		if _, err := a.Leaf(name); err == nil {
			t.Errorf("minted a leaf for %q", name)
		}
	}
	if a.Minted() != 0 {
		t.Errorf("minted %d", a.Minted())
	}
}

func TestAuthorityIsCheckedWhenItIsRead(t *testing.T) {
	cert, key := root(t, nil)
	leafCert, leafKey := root(t, func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero, c.KeyUsage = false, false, 0 })
	_, otherKey := root(t, nil)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		cert, key []byte
		now       time.Time
		want      string
	}{
		{"nothing", nil, key, noon, "not a PEM certificate"},
		{"a key where the certificate belongs", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), key, noon, "not a PEM certificate"},
		{"a certificate that may not sign", leafCert, leafKey, noon, "not an authority"},
		{"another authority's key", cert, otherKey, noon, "does not belong"},
		{"rubbish for a key", cert, []byte("hunter2"), noon, "not a PKCS#8 key"},
		{"an RSA key", cert, rsaDER, noon, "not an ECDSA key"},
		{"expired", cert, key, noon.AddDate(11, 0, 0), "valid from"},
		{"not yet valid", cert, key, noon.AddDate(-1, 0, 0), "valid from"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.cert, c.key, at(c.now))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q in it", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error quotes the key")
			}
		})
	}
}

func TestHandshakeWithLeafSucceeds(t *testing.T) {
	a := authority(t, at(noon))
	leaf, err := a.Leaf("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.CertPEM())
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	server := make(chan error, 1)
	go func() {
		server <- tls.Server(there, &tls.Config{Certificates: []tls.Certificate{*leaf}}).Handshake()
	}()
	if err := tls.Client(here, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Time: at(noon)}).Handshake(); err != nil {
		t.Error(err)
	}
	if err := <-server; err != nil {
		t.Error(err)
	}
}

func BenchmarkMint(b *testing.B) {
	a := authority(b, at(noon))
	for b.Loop() {
		if _, err := a.mint("api.vendor.test"); err != nil {
			b.Fatal(err)
		}
	}
}
