package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	patience = 10 * time.Second
	user     = "ag%ent"
	password = "p@ss/w:rd#1?%"
)

// corporate is a proxy on loopback. It wants user and password, connects where leads
// says, and keeps what it was asked for and with which proof.
type corporate struct {
	scheme string
	addr   string
	leads  map[string]string
	// answer, if set, is sent instead of an answer of its own.
	answer string
	greets string // what it says right after its answer, as a server that speaks first

	mu    sync.Mutex
	conns int
	asked []string
	proof []string
}

// login is the URL of the proxy for who has user and password.
func (c *corporate) login(user, password string) string {
	return strings.Replace(c.url(), "://", "://"+escape(user)+":"+escape(password)+"@", 1)
}

func (c *corporate) url() string { return c.scheme + "://" + c.addr }

// escape percent-encodes all of s.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func newCorporate(t *testing.T, scheme string, leads map[string]string, cert *tls.Certificate) *corporate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &corporate{scheme: scheme, addr: ln.Addr().String(), leads: leads}
	if cert != nil {
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*cert}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				c.serve(conn)
			})
		}
	})
	t.Cleanup(func() { cancel(); ln.Close(); wg.Wait() })
	return c
}

func (c *corporate) note(list *[]string, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*list = append(*list, what)
}

// was says what the proxy was asked for, and with which proofs.
func (c *corporate) was() (asked, proof []string, conns int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.asked...), append([]string(nil), c.proof...), c.conns
}

func (c *corporate) serve(conn net.Conn) {
	c.mu.Lock()
	c.conns++
	c.mu.Unlock()
	if strings.HasPrefix(c.scheme, "socks") {
		c.socks(conn)
		return
	}
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		return
	}
	c.note(&c.asked, req.Method+" "+req.RequestURI)
	proof := req.Header.Get("Proxy-Authorization")
	c.note(&c.proof, proof)
	if c.answer != "" {
		_, _ = io.WriteString(conn, c.answer)
		return
	}
	req.Header.Set("Authorization", proof)
	if u, p, ok := req.BasicAuth(); !ok || u != user || p != password {
		_, _ = io.WriteString(conn, "HTTP/1.1 407 "+p+"\r\nProxy-Authenticate: Basic realm=\""+p+"\"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	far, err := net.Dial("tcp", c.leads[req.RequestURI])
	if c.leads[req.RequestURI] == "" || err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 503 no "+password+"\r\n\r\n")
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n"+c.greets)
	splice(conn, far)
}

func splice(a, b net.Conn) {
	defer b.Close()
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(b, a); b.Close() }()
	_, _ = io.Copy(a, b)
	a.Close()
	<-done
}

// socks is RFC 1928 with RFC 1929, as far as a client of ours goes.
func (c *corporate) socks(conn net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	methods := read(int(read(2)[1]))
	if c.answer != "" {
		_, _ = io.WriteString(conn, c.answer)
		return
	}
	if !bytes.Contains(methods, []byte{2}) {
		_, _ = conn.Write([]byte{5, 0xff})
		return
	}
	_, _ = conn.Write([]byte{5, 2})
	u := string(read(int(read(2)[1])))
	p := string(read(int(read(1)[0])))
	c.note(&c.proof, u+":"+p)
	if u != user || p != password {
		_, _ = conn.Write([]byte{1, 1})
		return
	}
	_, _ = conn.Write([]byte{1, 0})
	var host string
	switch head := read(4); head[3] {
	case 1:
		host = netip.AddrFrom4([4]byte(read(4))).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = netip.AddrFrom16([16]byte(read(16))).String()
	}
	target := net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(read(2))))
	c.note(&c.asked, "CONNECT "+target)
	far, err := net.Dial("tcp", c.leads[target])
	if c.leads[target] == "" || err != nil {
		_, _ = conn.Write([]byte{5, 4, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = conn.Write(append([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}, c.greets...))
	splice(conn, far)
}

// streets is a dialer that goes nowhere but to loopback: by itself, or where an address
// has a route.
type streets struct {
	mu     sync.Mutex
	routes map[string]string
	dialed []string
}

func (s *streets) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	s.dialed = append(s.dialed, address)
	route := s.routes[address]
	s.mu.Unlock()
	if route == "" {
		route = address
	}
	if ap, err := netip.ParseAddrPort(route); err != nil || !ap.Addr().IsLoopback() {
		return nil, errors.New("a test does not go there: " + address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, route)
}

func (s *streets) were() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.dialed...)
}

// echo is a server that says its name and repeats what it hears.
func echo(t *testing.T, name string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(conn, name+"\n")
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// arrived says which echo conn leads to, and that bytes go both ways.
func arrived(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	name, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "ping\n"); err != nil {
		t.Fatal(err)
	}
	if back, err := r.ReadString('\n'); back != "ping\n" {
		t.Fatalf("%q came back, %v", back, err)
	}
	return strings.TrimSpace(name)
}

// selfSigned is a certificate for 127.0.0.1, or for another host.
func selfSigned(t *testing.T, host string) (*tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func pool(t *testing.T, text string) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if err := AddAuthorities(p, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return p
}
