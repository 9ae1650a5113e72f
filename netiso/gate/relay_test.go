package gate

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// fakeProxy answers each CONNECT with what answer says, and then repeats what comes
// until no more does.
func fakeProxy(t *testing.T, answer func(target string) string) *relay {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{ProxyName}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	listener, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reader := bufio.NewReader(conn)
			if request, err := http.ReadRequest(reader); err == nil && request.Method == http.MethodConnect {
				// In one piece, so that what the server says first comes with the answer.
				_, _ = io.WriteString(conn, answer(request.RequestURI))
				_, _ = io.Copy(conn, reader)
				_, _ = io.WriteString(conn, "bye")
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	r, err := newRelay(Config{Relay: netip.MustParseAddrPort(listener.Addr().String()), CA: certificatePEM, Certificate: certificatePEM, Key: keyPEM})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// caught is a connection that the gate has caught and carries to target.
func caught(t *testing.T, r *relay, target string) *net.TCPConn {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	agent, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.carryTo(context.Background(), conn.(*net.TCPConn), target)
	}()
	t.Cleanup(func() { agent.Close(); <-done })
	_ = agent.SetDeadline(time.Now().Add(10 * time.Second))
	return agent.(*net.TCPConn)
}

// A database's client waits for its server, and says nothing before.
func TestServerMaySpeakFirst(t *testing.T) {
	const greeting = "5.7.44 hello\n"
	r := fakeProxy(t, func(target string) string {
		if target != "db.test:5432" {
			t.Errorf("the proxy is asked for %s", target)
		}
		return "HTTP/1.1 200 OK\r\n\r\n" + greeting
	})
	agent := caught(t, r, "db.test:5432")
	first := make([]byte, len(greeting))
	if _, err := io.ReadFull(agent, first); err != nil || string(first) != greeting {
		t.Fatalf("%q, %v", first, err)
	}
	_, _ = io.WriteString(agent, "SELECT 1")
	_ = agent.CloseWrite()
	if rest, err := io.ReadAll(agent); err != nil || string(rest) != "SELECT 1bye" {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestRefusalReachesWhoCanReadIt(t *testing.T) {
	r := fakeProxy(t, func(string) string { return "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nwhy" })
	agent := caught(t, r, "db.test:5432")
	_, _ = io.WriteString(agent, "GET / HTTP/1.1\r\nHost: db.test\r\n\r\n")
	if answer, err := io.ReadAll(agent); err != nil || !strings.HasSuffix(string(answer), "\r\n\r\nwhy") {
		t.Errorf("plain HTTP reads %q, %v", answer, err)
	}
	agent = caught(t, r, "db.test:5432")
	_, _ = io.WriteString(agent, "\x16\x03\x01")
	if answer, err := io.ReadAll(agent); err == nil || len(answer) > 0 {
		t.Errorf("another protocol reads %q, %v, not a reset", answer, err)
	}
}
