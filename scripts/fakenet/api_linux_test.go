package fakenet

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// client is a client in this internet: it trusts its CA and asks its name server.
func client(t *testing.T, n *Net, http2 bool) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(n.CAPEM()) {
		t.Fatal("the CA is no certificate")
	}
	dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", "203.0.113.53:53")
	}}}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func get(t *testing.T, c *http.Client, url, token string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestTheAPIWantsItsTokenAndNotesEveryRequest(t *testing.T) {
	n := open(t)
	for _, c := range []struct {
		name, scheme, token string
		http2               bool
		proto               string
		status              int
	}{
		{"with the token", "https", n.API().Secret(), false, "HTTP/1.1", 200},
		{"by HTTP/2", "https", n.API().Secret(), true, "HTTP/2.0", 200},
		{"by plain HTTP", "http", n.API().Secret(), false, "HTTP/1.1", 200},
		{"with none", "https", "", false, "HTTP/1.1", 401},
		{"with a wrong one", "https", "wrong", true, "HTTP/2.0", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			marker := newMarker()
			response := get(t, client(t, n, c.http2), c.scheme+"://api.vendor.test/v1/hello?"+marker, c.token)
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != c.status {
				t.Errorf("status %d, want %d", response.StatusCode, c.status)
			}
			if c.status == 200 && string(body) != `{"hello":"world"}`+"\n" {
				t.Errorf("body %q", body)
			}
			seen := n.API().Requests(marker)
			if len(seen) != 1 {
				t.Fatalf("%d requests noted", len(seen))
			}
			r := seen[0]
			if r.Method != "GET" || r.Host != APIName || r.Path != "/v1/hello?"+marker || r.Proto != c.proto ||
				r.TLS != (c.scheme == "https") || strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") != c.token {
				t.Errorf("noted as %+v", r)
			}
			name := "GET " + c.scheme + "://api.vendor.test/v1/hello?" + marker
			if e := n.Sinks().Seen(marker, HTTP); len(e) != 1 || e[0].Name != name || e[0].To.Addr() != APIAddr {
				t.Errorf("event %+v, want one named %q", e, name)
			}
		})
	}
}

func TestEchoShowsTheRequestAsItCame(t *testing.T) {
	n := open(t)
	response := get(t, client(t, n, true), "https://api.vendor.test/echo", n.API().Secret())
	var got Request
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Path != "/echo" || got.Header.Get("Authorization") != "Bearer "+n.API().Secret() {
		t.Errorf("%+v", got)
	}
}

func TestAStreamComesEventByEvent(t *testing.T) {
	n := open(t)
	// The second event is due in an hour: the first is here before it, or the test ends with the client's patience.
	response := get(t, client(t, n, true), "https://api.vendor.test/stream?n=2&every=1h", n.API().Secret())
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || line != "data: 0\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestTheCAVouchesForNamesInTestAlone(t *testing.T) {
	ca, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for hello, name := range map[string]string{"Other.Vendor.Test": "other.vendor.test", "": "203.0.113.10"} {
		leaf, err := ca.forHello(&tls.ClientHelloInfo{ServerName: hello})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(leaf.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("for %q: %v", hello, err)
		}
	}
	if _, err := ca.forHello(&tls.ClientHelloInfo{ServerName: "api.github.com"}); err == nil {
		t.Error("a name outside test has a certificate")
	}
}

func TestATestMayBringAServerOfItsOwn(t *testing.T) {
	n := open(t)
	ln, err := n.Listen(netip.AddrPortFrom(APIAddr, 8443))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.DialTimeout("tcp", "203.0.113.10:8443", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
