package proxy

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/av-project/av/vault/policy"
)

// tape is a connection from which a fixed text is read.
type tape struct {
	io.Reader
	written bytes.Buffer
}

func (c *tape) Write(b []byte) (int, error)      { return c.written.Write(b) }
func (*tape) Close() error                       { return nil }
func (*tape) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (*tape) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (*tape) SetDeadline(time.Time) error        { return nil }
func (*tape) SetReadDeadline(time.Time) error    { return nil }
func (*tape) SetWriteDeadline(t time.Time) error { return nil }

// helloOf is what a client with config says first.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	c := &tape{Reader: bytes.NewReader(nil)}
	_ = tls.Client(c, config).Handshake() // there is no answer
	if c.written.Len() == 0 {
		t.Fatal("the client said nothing")
	}
	return c.written.Bytes()
}

// echConfig is a list of one ECH configuration, which makes a client say outer and hide
// its server name.
func echConfig(t testing.TB, outer string) []byte {
	t.Helper()
	key := try(ecdh.X25519().GenerateKey(rand.Reader))(t).PublicKey().Bytes()
	body := []byte{1, 0, 0x20} // id, DHKEM(X25519, HKDF-SHA256)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(key))), key...)
	body = append(body, 0, 4, 0, 1, 0, 1) // HKDF-SHA256 with AES-128-GCM
	body = append(body, 0, byte(len(outer)))
	body = append(append(body, outer...), 0, 0)
	config := binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(body)))
	config = append(config, body...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
}

// fragmented cuts a record into records of one byte each.
func fragmented(record []byte) (out []byte) {
	for _, b := range record[5:] {
		out = append(out, 0x16, 3, 1, 0, 1, b)
	}
	return out
}

func TestPeekFindsTheNameAndTakesNothing(t *testing.T) {
	plain := helloOf(t, &tls.Config{ServerName: "a.test"})
	for name, c := range map[string]struct {
		sent []byte
		want hello
	}{
		"a name":            {plain, hello{name: "a.test"}},
		"TLS 1.2":           {helloOf(t, &tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12}), hello{name: "a.test"}},
		"no name":           {helloOf(t, &tls.Config{ServerName: "192.0.2.1"}), hello{}},
		"records of a byte": {fragmented(plain), hello{name: "a.test"}},
		"more after it":     {append(bytes.Clone(plain), "early data"...), hello{name: "a.test"}},
		"encrypted": {helloOf(t, &tls.Config{ServerName: "inner.test", MinVersion: tls.VersionTLS13,
			EncryptedClientHelloConfigList: echConfig(t, "a.test")}), hello{"a.test", true}},
	} {
		for how, reader := range map[string]io.Reader{"at once": bytes.NewReader(c.sent), "by the byte": iotest.OneByteReader(bytes.NewReader(c.sent))} {
			conn := &tape{Reader: reader}
			got, seen, err := peekHello(conn)
			rest := try(io.ReadAll(conn))(t)
			if err != nil || got != c.want || !bytes.Equal(append(seen, rest...), c.sent) || conn.written.Len() > 0 {
				t.Errorf("%s, %s: %+v, %v, answered %q", name, how, got, err, conn.written.Bytes())
			}
		}
	}
}

func TestOnlyTheTargetsOwnNameAgrees(t *testing.T) {
	target := policy.Target{Host: "a.test", Port: 443}
	for _, c := range []struct {
		said   hello
		agrees bool
	}{
		{hello{name: "a.test"}, true}, {hello{name: "A.TEST"}, true},
		{hello{}, false}, {hello{name: "b.test"}, false}, {hello{name: "a.test:443"}, false}, {hello{name: "a.test\x00"}, false},
		{hello{name: "x.a.test"}, false}, {hello{name: "test"}, false}, {hello{"a.test", true}, false}, {hello{name: "*.test"}, false},
	} {
		if err := agreeHello(target, c.said); (err == nil) != c.agrees {
			t.Errorf("%+v: %v", c.said, err)
		}
	}
}

// The law of the peek: whatever comes, and in whatever pieces, it answers the same, it
// changes no byte, says nothing, and reads no more than a hello can have.
func FuzzPeekHello(f *testing.F) {
	// Short ones: the fuzzer makes each that it finds interesting shorter still.
	curves := []tls.CurveID{tls.X25519}
	plain := helloOf(f, &tls.Config{ServerName: "a.test", CurvePreferences: curves, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
	f.Add(plain)
	f.Add(fragmented(plain))
	f.Add(helloOf(f, &tls.Config{ServerName: "a.test", MinVersion: tls.VersionTLS13, CurvePreferences: curves, EncryptedClientHelloConfigList: echConfig(f, "b.test")}))
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"))
	f.Add([]byte("\x15\x03\x01\x00\x02\x01\x00"))
	f.Add([]byte("\x80\x2e\x01\x03\x01"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		conn := &tape{Reader: bytes.NewReader(sent)}
		got, seen, err := peekHello(conn)
		again, _, err2 := peekHello(&tape{Reader: iotest.OneByteReader(bytes.NewReader(sent))})
		switch {
		case conn.written.Len() > 0:
			t.Fatalf("it answered %q", conn.written.Bytes())
		case (err == nil) != (err2 == nil) || got != again:
			t.Fatalf("%+v, %v at once, and %+v, %v by the byte", got, err, again, err2)
		case err == nil && !bytes.HasPrefix(sent, seen):
			t.Fatalf("%q is no beginning of what was sent", seen)
		case len(seen) > 1<<20:
			t.Fatalf("it read %d bytes", len(seen))
		}
		if bad, ok := errors.AsType[*helloError](err); ok && bad.reason == "" {
			t.Fatal("refused without a reason")
		}
	})
}

// OpenSSL's alert is not sealed, where crypto/tls expects one that is.
func TestClientThatRefusesTheCertificateInTheClearIsUnderstood(t *testing.T) {
	w, _ := vendor(t, nil)
	conn := w.tunnel(byToken, apiHost+":443")
	try(conn.Write(renamed(t, apiHost)))(t)
	try(io.ReadFull(conn, make([]byte, 100)))(t)                 // of the ServerHello
	try(io.WriteString(conn, "\x15\x03\x03\x00\x02\x02\x30"))(t) // unknown_ca
	ended(t, conn)
	if e := w.ledger.wait(t, 1); !strings.Contains(e.Reason, "may not trust av's certificate") {
		t.Errorf("record %+v", e)
	}
}
