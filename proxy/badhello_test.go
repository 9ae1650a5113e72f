package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault/policy"
)

// badHellos are first bytes that are no handshake, or none that can be gone on with.
func badHellos(t *testing.T) map[string][]byte {
	hello := helloOf(t, &tls.Config{ServerName: apiHost})
	longName := func(n int) []byte { return helloOf(t, &tls.Config{ServerName: strings.Repeat("a", n)}) }
	all := map[string][]byte{
		"a record of nothing":            []byte("\x16\x03\x01\x00\x00"),
		"records of nothing":             bytes.Repeat([]byte("\x16\x03\x01\x00\x00"), 1000),
		"records of nothing, then hello": append(bytes.Repeat([]byte("\x16\x03\x01\x00\x00"), 1000), hello...),
		"a record beyond its bound":      append([]byte("\x16\x03\x01\xff\xff"), make([]byte, 1<<16)...),
		"a hello of nothing":             []byte("\x16\x03\x01\x00\x04\x01\x00\x00\x00"),
		"a hello of 16 MiB":              append([]byte("\x16\x03\x01\x40\x00\x01\xff\xff\xff"), make([]byte, 1<<14)...),
		"garbage in a hello":             append([]byte("\x16\x03\x01\x00\x44\x01\x00\x00\x40"), bytes.Repeat([]byte{0xa5}, 64)...),
		"a server's hello":               append([]byte("\x16\x03\x01\x00\x44\x02\x00\x00\x40"), bytes.Repeat([]byte{3}, 64)...),
		"an alert in its place":          []byte("\x16\x03\x01\x00\x02\x02\x28"),
		"SSL 3":                          []byte("\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00" + strings.Repeat("r", 32) + "\x00\x00\x02\x00\x05\x01\x00"),
		"half of a hello":                hello[:len(hello)/2],
		"a hello without its end":        hello[:len(hello)-1],
		"a name of 64 KB":                longName(64_000),
		"a name of 16 KB":                longName(16_000),
		"the version of no TLS":          append([]byte("\x16\x03\xff"), hello[3:]...),
		"SSL 2":                          []byte("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x03\x00\x80\x07\x00\xc0\x06\x00\x40\x02\x00\x80\x04\x00\x80\x00\x00\x05\x00\x00\x0a" + strings.Repeat("c", 16)),
		"SSL 2 that offers TLS":          []byte("\x80\x1c\x01\x03\x01\x00\x03\x00\x00\x00\x10\x00\x00\x2f" + strings.Repeat("c", 16)),
		"an alert":                       []byte("\x15\x03\x01\x00\x02\x02\x28"),
		"a change of ciphers":            []byte("\x14\x03\x01\x00\x01\x01"),
		"data":                           []byte("\x17\x03\x03\x00\x05hello"),
		"a heartbeat":                    []byte("\x18\x03\x02\x00\x03\x01\x40\x00"),
		"DTLS":                           append([]byte("\x16\xfe\xfd"), hello[3:]...),
	}
	return all
}

// badly sends first bytes on conn, says that there will be no more, and waits for the end.
func badly(t *testing.T, conn net.Conn, first []byte) {
	t.Helper()
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	go func() {
		_, _ = conn.Write(first) // it may close before it has all
		_ = closeWrite(conn)
	}()
	ended(t, conn)
}

func TestBadHelloClosesItsConnectionAlone(t *testing.T) {
	for name, first := range badHellos(t) {
		t.Run(name, func(t *testing.T) {
			up := newUpstream(t, func(http.ResponseWriter, *http.Request) {}, apiHost)
			pinned := up.passthrough("pinned", "pinned.test")
			pinned.TLS, pinned.Upstream.CA = policy.TLSPassthrough, ""
			w := newWorld(t, setup{services: services(up.bearer(apiHost), pinned)})
			b := w.bystander()
			badly(t, w.dial(byToken), first)
			b.isServed()
			badly(t, w.tunnel(byToken, apiHost+":443"), first)
			b.isServed()
			badly(t, w.tunnel(byToken, "pinned.test:443"), first)
			b.isServed()
			// No record has a tunnel's first bytes in it, and each tunnel has one. What does
			// not look like TLS was HTTP to the outer leg, and that has its record too.
			tunnels := map[string]int{}
			for _, e := range b.but(w.records()) {
				tunnels[e.Host]++
				if e.Reason == "" || len(e.Reason) > 500 || e.Upstream != "" {
					t.Errorf("record %+v", e)
				}
			}
			outer := map[bool]int{false: 1}[first[0] == tlsHandshake]
			if tunnels[apiHost] != 1 || tunnels["pinned.test"] != 1 || tunnels[""] != outer {
				t.Errorf("records %v", tunnels)
			}
			if strings.Contains(w.logs.String(), "panic") {
				t.Errorf("log:\n%s", w.logs)
			}
		})
	}
}

// Each byte of a hello, changed: whatever it is then, somebody answers or closes, and
// nothing breaks.
func TestHelloWithAWrongByteBreaksNothing(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	hello := helloOf(t, &tls.Config{ServerName: apiHost, CurvePreferences: []tls.CurveID{tls.X25519}})
	for i := range hello {
		if i == 0 {
			continue // then it is no hello
		}
		bad := bytes.Clone(hello)
		bad[i] ^= 0xff
		badly(t, w.tunnel(byToken, apiHost+":443"), bad)
	}
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	if got, want := len(w.records()), len(hello); got != want { // those, and one that was served
		t.Errorf("%d records, want %d", got, want)
	}
	if strings.Contains(w.logs.String(), "panic") {
		t.Errorf("log:\n%s", w.logs)
	}
}

// chopped sends its first record, which is the hello, as chop has it.
type chopped struct {
	net.Conn
	chop func([]byte) [][]byte
}

func (c *chopped) Write(p []byte) (int, error) {
	if c.chop == nil {
		return c.Conn.Write(p)
	}
	pieces := c.chop(p)
	c.chop = nil
	for _, piece := range pieces {
		if _, err := c.Conn.Write(piece); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// A hello in pieces is a good one, and who judges it by its name must not be dodged so.
func TestHelloInPiecesIsAsGoodAsAWholeOne(t *testing.T) {
	for name, chop := range map[string]func([]byte) [][]byte{
		"records of one byte": func(p []byte) [][]byte { return [][]byte{fragmented(p)} },
		"segments of one byte": func(p []byte) (pieces [][]byte) {
			for i := range p {
				pieces = append(pieces, p[i:i+1])
			}
			return pieces
		},
		"both": func(p []byte) (pieces [][]byte) {
			for _, b := range fragmented(p) {
				pieces = append(pieces, []byte{b})
			}
			return pieces
		},
	} {
		for _, l := range []string{"outer leg", "tunnel", "tunnel that is not read"} {
			t.Run(name+"/"+l, func(t *testing.T) {
				up := newUpstream(t, func(http.ResponseWriter, *http.Request) {}, apiHost, "pinned.test")
				pinned := up.passthrough("pinned", "pinned.test")
				pinned.TLS, pinned.Upstream.CA = policy.TLSPassthrough, ""
				w := newWorld(t, setup{services: services(up.bearer(apiHost), pinned)})
				host, roots := apiHost, w.roots()
				var conn net.Conn
				switch l {
				case "outer leg":
					key := w.opened.KeyPEM.Open()
					cert := try(tls.X509KeyPair(w.opened.CertPEM, key))(t)
					outer := tls.Client(&chopped{w.dial(byToken), chop}, &tls.Config{RootCAs: roots, ServerName: ServerName, Certificates: []tls.Certificate{cert}})
					res := raw(t, outer, "CONNECT "+host+":443 HTTP/1.1\r\nHost: "+host+":443\r\n\r\n")
					if res.StatusCode != 200 {
						t.Fatal(res.Status)
					}
					conn = outer
				case "tunnel":
					conn = &chopped{w.tunnel(byToken, host+":443"), chop}
				default:
					host = "pinned.test"
					roots.AppendCertsFromPEM([]byte(up.ca))
					conn = &chopped{w.tunnel(byToken, host+":443"), chop}
				}
				inner := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: host, NextProtos: []string{"http/1.1"}})
				defer inner.Close()
				must(t, inner.SetDeadline(time.Now().Add(patience)))
				try(io.WriteString(inner, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"))(t)
				if res := try(http.ReadResponse(bufio.NewReader(inner), nil))(t); res.StatusCode != 200 {
					t.Error(res.Status)
				}
				inner.Close()
				if e := w.records(); len(e) != 1 || e[0].Status != 200 || e[0].Host != host {
					t.Errorf("records %+v", e)
				}
				if l == "outer leg" {
					return
				}
				// And for another host it is as bad.
				again := newWorld(t, setup{services: services(up.bearer(apiHost), pinned)})
				bad := tls.Client(&chopped{again.tunnel(byToken, host+":443"), chop}, &tls.Config{RootCAs: roots, ServerName: "evil.test"})
				if err := bad.Handshake(); err == nil {
					t.Error("the name of another host is taken")
				}
				again.ledger.wait(t, 1)
				if e := again.records(); len(e) != 1 || e[0].Allowed || !strings.Contains(e[0].Reason, "evil.test") {
					t.Errorf("records %+v", e)
				}
			})
		}
	}
}
