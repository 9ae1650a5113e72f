package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/av-project/av/proxy/egress"
)

// nowhere resolves no name and asks nobody.
func nowhere(t *testing.T) {
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("a test asks no resolver")
	}}
	t.Cleanup(func() { net.DefaultResolver = before })
}

func given(vars map[string]string) *env {
	return &env{getenv: func(name string) string { return vars[name] }}
}

// asks is a proxy that refuses all that it is asked for, in the end.
func asks(t *testing.T) (addr string, asked func() []string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				list = append(list, r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 403 no\r\n\r\n")
			conn.Close()
		}
	}()
	return ln.Addr().String(), func() []string { ln.Close(); <-done; return list }
}

func TestWayOutIsTheOneThatTheVariablesSay(t *testing.T) {
	nowhere(t)
	addr, asked := asks(t)
	proxy := "http://u:p@" + addr
	for _, c := range []struct {
		host string
		vars map[string]string
		want bool // it is the proxy that is asked
	}{
		{"a.test", map[string]string{upstreamProxy: proxy}, true},
		{"a.test", nil, false},
		{"a.test", map[string]string{"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "https_proxy": proxy, "ALL_PROXY": proxy}, false},
		{"a.test", map[string]string{upstreamProxy: proxy, upstreamNoProxy: ".test"}, false},
		{"a.test", map[string]string{upstreamProxy: proxy, "NO_PROXY": ".test,<local>"}, false},
		{"a.test", map[string]string{upstreamProxy: proxy, "no_proxy": ".test"}, false},
		{"a.test", map[string]string{upstreamProxy: proxy, upstreamNoProxy: ".example", "NO_PROXY": ".test"}, true}, // ours goes first
		{"127.0.0.1", map[string]string{upstreamProxy: proxy}, false},
	} {
		way, err := given(c.vars).wayOut()
		if err != nil {
			t.Fatal(err)
		}
		_, err = way.guard.Dial(t.Context(), c.host, 1, netip.AddrPort{})
		if _, got := errors.AsType[*egress.ProxyError](err); got != c.want || err == nil {
			t.Errorf("%s with %v: %v", c.host, c.vars, err)
		}
	}
	if got := fmt.Sprint(asked()); got != "[a.test:1 Basic dTpw a.test:1 Basic dTpw]" {
		t.Errorf("the proxy was asked for %s", got)
	}
}

func TestAllowedRangeIsDialled(t *testing.T) {
	nowhere(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := netip.MustParseAddrPort(ln.Addr().String())
	for list, want := range map[string]bool{"127.0.0.0/8": true, "10.0.0.0/8": false, "": false} {
		way, err := given(map[string]string{egressAllow: list}).wayOut()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := way.guard.Dial(t.Context(), at.Addr().String(), at.Port(), netip.AddrPort{})
		if (err == nil) != want {
			t.Errorf("%q: %v", list, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestFurtherAuthoritiesStandBesideTheSystems(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "corp.pem")
	certificate := server.Certificate()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	way, err := given(map[string]string{upstreamCA: file}).wayOut()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: way.roots, DNSName: "example.com"}); err != nil {
		t.Errorf("its certificate: %v", err)
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: system, DNSName: "example.com"}); err == nil {
		t.Error("control: the system knows it without")
	}
	system.AddCert(certificate)
	if !way.roots.Equal(system) {
		t.Error("they are not the system's and this one")
	}
	if way, err := given(nil).wayOut(); err != nil || way.roots != nil {
		t.Errorf("without the variable: %v %v", way.roots, err)
	}
}

func TestVariableThatCannotBeUsedIsNamed(t *testing.T) {
	for name, value := range map[string]string{
		upstreamProxy: "http://u:s3cret@proxy:port", upstreamNoProxy: "u:s3cret@x", upstreamCA: t.TempDir(), egressAllow: "0.0.0.0/0",
	} {
		_, err := given(map[string]string{name: value}).wayOut()
		var hint interface{ Hint() string }
		if err == nil || !strings.HasPrefix(err.Error(), "cannot use "+name+": ") || !errors.As(err, &hint) || hint.Hint() == "" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Contains(err.Error()+hint.Hint(), "s3cret") {
			t.Errorf("%s: the password is in %v", name, err)
		}
	}
}
