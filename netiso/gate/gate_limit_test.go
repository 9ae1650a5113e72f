package gate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// padded is a query of size bytes.
func padded(t *testing.T, size int) []byte {
	q := query(t, "api.vendor.test.", dnsmessage.TypeA)
	return append(q, make([]byte, size-len(q))...)
}

// overTCP gives answerOne a query and returns what it answers.
func overTCP(q []byte) (reply []byte, err error) {
	client, server := net.Pipe()
	defer client.Close()
	done := make(chan error, 1)
	go func() {
		done <- newNames(8).answerOne(server)
		server.Close()
	}()
	_, _ = client.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
	reply, _ = io.ReadAll(client)
	return reply, <-done
}

func TestQueryIsReadUpToItsCeiling(t *testing.T) {
	if reply, err := overTCP(padded(t, maxQuery)); err != nil || len(reply) == 0 {
		t.Errorf("at the ceiling: %d bytes, %v", len(reply), err)
	}
	if reply, err := overTCP(padded(t, maxQuery+1)); err == nil || len(reply) != 0 {
		t.Errorf("one byte more: %d bytes, %v", len(reply), err)
	}
}

func TestSilentQueryIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		began := time.Now()
		if err := newNames(8).answerOne(server); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != dnsIdle {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestQueriesOverTCPAreBounded(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- newNames(8).serveTCP(listener) }()
	asked := func() (net.Conn, error) {
		conn, err := net.Dial("tcp4", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		q := padded(t, 64)
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
		_, err = io.ReadFull(conn, make([]byte, 2))
		return conn, err
	}
	var first net.Conn
	for i := range maxDNSConns {
		conn, err := asked()
		if err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
		if first == nil {
			first = conn
		}
	}
	if _, err := asked(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one more is not closed: %v", err)
	}
	first.Close() // and its place is free, once that is noticed
	for late := time.Now().Add(10 * time.Second); ; {
		if _, err := asked(); err == nil {
			break
		}
		if time.Now().After(late) {
			t.Fatal("its place stays taken")
		}
	}
	listener.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestNamesThatAreRememberedAreBounded(t *testing.T) {
	n := newNames(maxNames)
	first := n.address("n0.test")
	for i := 1; i < maxNames; i++ {
		n.address(fmt.Sprintf("n%d.test", i))
	}
	if name, ok := n.name(first); !ok || len(n.byAddr) != maxNames {
		t.Errorf("at the ceiling, the first is %q and %d are remembered", name, len(n.byAddr))
	}
	second := n.address("n1.test")
	for i := range 2 { // the first two were used a moment ago
		n.address(fmt.Sprintf("more%d.test", i))
	}
	_, one := n.name(first)
	_, two := n.name(second)
	if !one || !two || len(n.byAddr) != maxNames || n.byName.Contains("n2.test") {
		t.Errorf("above it, those in use are there: %v, %v; %d are remembered", one, two, len(n.byAddr))
	}
}

func TestConfigurationIsReadUpToItsCeiling(t *testing.T) {
	config := func(size int) string { return "{" + strings.Repeat(" ", size-3) + "}\n" }
	var out bytes.Buffer
	err := Run(t.Context(), strings.NewReader(config(maxConfig)), &out)
	if err == nil || !strings.Contains(err.Error(), "the run's certificate") {
		t.Errorf("at the ceiling it is not read: %v", err)
	}
	err = Run(t.Context(), strings.NewReader(config(maxConfig+1)), &out)
	if err == nil || !strings.Contains(err.Error(), "read the configuration") {
		t.Errorf("one byte more is read: %v", err)
	}
}

func TestProxyThatDoesNotShakeHandsIsGivenUp(t *testing.T) {
	mute, err := net.Listen("tcp4", "127.0.0.1:0") // its backlog takes the connection
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	r := fakeProxy(t, func(string) string { return "HTTP/1.1 200 OK\r\n\r\n" })
	if r.patience != relayTimeout {
		t.Errorf("it waits for %v", r.patience)
	}
	conn, err := r.dial(t.Context())
	if err != nil {
		t.Fatalf("control: %v", err)
	}
	conn.Close()
	r.address, r.patience = mute.Addr().String(), 50*time.Millisecond
	if _, err := r.dial(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// pipe is both ends of a TLS connection without a network.
func pipe(t *testing.T) (client, server *tls.Conn) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	client = tls.Client(near, &tls.Config{InsecureSkipVerify: true}) // the handshake is not what is tested
	server = tls.Server(far, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	return client, server
}

func TestProxyThatDoesNotAnswerAConnectIsGivenUp(t *testing.T) {
	for _, late := range []time.Duration{connectTimeout - time.Second, connectTimeout + time.Second} {
		synctest.Test(t, func(t *testing.T) {
			client, server := pipe(t)
			go func() {
				if _, err := server.Read(make([]byte, 1024)); err == nil {
					time.Sleep(late)
					_, _ = io.WriteString(server, "HTTP/1.1 200 OK\r\n\r\n")
				}
				_, _ = io.Copy(io.Discard, server)
				server.Close()
			}()
			began := time.Now()
			_, _, err := connect(client, "a.test:443")
			if inTime := late < connectTimeout; inTime != (err == nil) || !inTime && (!errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != connectTimeout) {
				t.Errorf("an answer after %v: %v after %v", late, err, time.Since(began))
			}
			client.Close()
		})
	}
}

// The agent opens one connection more than there is room for. It waits in the kernel's
// queue until another ends.
func TestConnectionsOfTheAgentAreBounded(t *testing.T) {
	listen := func() *net.TCPListener {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l.(*net.TCPListener)
	}
	// The proxy never shakes hands, so that each connection keeps its place.
	mute := listen()
	arrived := make(chan net.Conn, 2*maxConns)
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := mute.Accept()
			if err != nil {
				return
			}
			arrived <- conn
		}
	}()
	r := &relay{network: "tcp4", address: mute.Addr().String(), config: &tls.Config{ServerName: ProxyName}, patience: time.Minute}
	s := &server{relay: r, names: newNames(8), proxy: listen(), catch: listen(), places: maxConns}
	s.closers = []io.Closer{s.proxy, s.catch}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	dial := func() {
		conn, err := net.Dial("tcp4", s.proxy.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	next := func(patience time.Duration) net.Conn {
		select {
		case conn := <-arrived:
			t.Cleanup(func() { conn.Close() })
			return conn
		case <-time.After(patience):
			return nil
		}
	}
	var last net.Conn
	for i := range maxConns {
		dial()
		if last = next(30 * time.Second); last == nil {
			t.Fatalf("connection %d is not carried", i+1)
		}
	}
	dial()
	if next(200*time.Millisecond) != nil {
		t.Error("one more is carried beside them")
	}
	last.Close()
	if next(30*time.Second) == nil {
		t.Error("it is not carried when there is room")
	}
	cancel()
	mute.Close()
	<-accepting
	if err := <-served; err != nil {
		t.Error(err)
	}
}
