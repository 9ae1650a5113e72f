package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestServerNameMustBeTheTunnelsHost(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w, up := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
			if _, err := w.tls(by, apiHost+":443", "evil.test"); err == nil {
				t.Error("the handshake for another host succeeded")
			}
			e := w.ledger.wait(t, 1)
			if e.Allowed || e.Reason != `the TLS server name "evil.test" is not the tunnel's host` || e.Host != apiHost {
				t.Errorf("record %+v", e)
			}
			if up.conns.get() != 0 {
				t.Error("the upstream was dialled")
			}
			// No leaf for that name either: there is the one that the session's policy names,
			// and over TLS the proxy's own.
			minted := int64(1)
			if by == byCertificate {
				minted = 2
			}
			w.minted(minted)
		})
	}
}

func TestServerNameMayBeMissingOrSpelledOtherwise(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	for _, sni := range []string{"API.Vendor.Test", apiHost} {
		if _, err := w.tls(byToken, "API.VENDOR.TEST.:443", sni); err != nil {
			t.Errorf("%s: %v", sni, err)
		}
	}
	silent := tls.Client(w.tunnel(byToken, apiHost+":443"), &tls.Config{InsecureSkipVerify: true}) // looked at below
	must(t, silent.Handshake())
	if err := silent.ConnectionState().PeerCertificates[0].VerifyHostname(apiHost); err != nil {
		t.Errorf("without a server name: %v", err)
	}
}

func TestAuthorityMustBeTheTunnelsHost(t *testing.T) {
	for _, c := range []struct {
		name, request string
		want          int
	}{
		{"another host", "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421},
		{"a longer host", "GET / HTTP/1.1\r\nHost: " + apiHost + ".evil.test\r\n\r\n", 421},
		{"a port of another service", "GET / HTTP/1.1\r\nHost: " + apiHost + ":8443\r\n\r\n", 421},
		{"a user", "GET / HTTP/1.1\r\nHost: " + apiHost + "@evil.test\r\n\r\n", 400},
		{"no host", "GET / HTTP/1.0\r\n\r\n", 421},
		{"another host in the URL", "GET https://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421},
		{"another scheme in the URL", "GET http://" + apiHost + ":443/ HTTP/1.1\r\nHost: " + apiHost + ":443\r\n\r\n", 421},
		{"URL against Host", "GET https://" + apiHost + "/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 400},
		{"Host against URL", "GET https://evil.test/ HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 400},
		{"two hosts", "GET / HTTP/1.1\r\nHost: " + apiHost + "\r\nHost: evil.test\r\n\r\n", 400},
		{"a tunnel in the tunnel", "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n", 400},
		{"a tunnel in the tunnel, in small letters", "connect /x HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 400},
		{"an opaque URL with a user", "GET http:@evil.test/x HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 400},
		{"an opaque URL within a URL", "GET x:https://evil.test/steal HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 400},
		{"an opaque URL", "GET https:evil.test HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 400},
		{"a URL without a host", "GET https:/steal HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 400},
		{"a URL with an empty host", "GET https:///steal HTTP/1.1\r\nHost: \r\n\r\n", 400},
		{"the asterisk of another method", "GET * HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 400},
		{"control: a path that looks like a URL", "GET /https://evil.test/ HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 200},
		{"control: a path that begins with two slashes", "GET //evil.test/ HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 200},
		{"control: as it is", "GET / HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 200},
		{"control: in capitals, with port and dot", "GET / HTTP/1.1\r\nHost: API.Vendor.TEST.:443\r\n\r\n", 200},
		{"control: whole URL", "GET https://" + apiHost + "/ HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, up := vendor(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Host) })
			conn, err := w.tls(byToken, apiHost+":443", apiHost, "http/1.1")
			must(t, err)
			res := raw(t, conn, c.request)
			body := read(t, res)
			if res.StatusCode != c.want {
				t.Errorf("%s %s", res.Status, body)
			}
			if c.want == 200 && body != apiHost {
				t.Errorf("the upstream was asked for %s", body)
			}
			if c.want != 200 && (up.conns.get() != 0 || strings.Contains(body, secret)) {
				t.Errorf("%d connections to the upstream", up.conns.get())
			}
			if e := w.records(); len(e) != 1 || e[0].Status != c.want || e[0].Allowed != (c.want == 200) || e[0].Keys != nil && c.want != 200 || (e[0].Reason == "") != (c.want == 200) {
				t.Errorf("records %+v", e)
			}
		})
	}
}

// An agent asked for "GET http:@evil.test/x": such a URL names no host that could
// disagree, and what follows its colon left as the request's target, credential and all.
func TestOpaqueURLIsNotProxied(t *testing.T) {
	for _, target := range []string{"http:@evil.test/x", "x:https://evil.test/steal", "https:evil.test", "http:///steal"} {
		w := newWorld(t, setup{unmatched: "allow"})
		outer("GET "+target+" HTTP/1.1\r\nHost: evil.test\r\n")(t, w)
		if e := w.records(); len(e) != 1 || e[0].Status != 400 || e[0].Allowed || e[0].Reason == "" {
			t.Errorf("%s: records %+v", target, e)
		}
		if touched := w.names.touched(); len(touched) != 0 {
			t.Errorf("%s: the proxy asked for or went to %s", target, touched)
		}
	}
}

// In HTTP/2 the authority and a Host header can stand side by side.
func TestAuthorityOfHTTP2MustBeTheTunnelsHost(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"another authority", []string{":authority", "evil.test"}, "421"},
		{"another Host", []string{":authority", apiHost, "host", "evil.test"}, "421"},
		{"another Host alone", []string{"host", "evil.test"}, "421"},
		{"an opaque URL within a URL", []string{":authority", apiHost, ":path", "http:https://evil.test/steal"}, "400"},
		{"an opaque URL with a user", []string{":authority", apiHost, ":path", "http:@evil.test/x"}, "400"},
		{"another host in the URL", []string{":authority", apiHost, ":path", "https://evil.test/"}, "421"},
		{"a URL with an empty host", []string{":authority", apiHost, ":path", "https:///steal"}, "400"},
		{"the asterisk of another method", []string{":authority", apiHost, ":path", "*"}, "400"},
		{"a method with a blank", []string{":authority", apiHost, ":method", "G ET"}, "400"},
		{"a blank in the query", []string{":authority", apiHost, ":path", "/?a HTTP/1.1"}, "400"},
		{"control", []string{":authority", apiHost}, "200"},
		{"control: a blank in the path, which is encoded", []string{":authority", apiHost, ":path", "/a b"}, "200"},
		{"control: Host agrees", []string{":authority", apiHost, "host", apiHost}, "200"},
		{"control: the asterisk of OPTIONS", []string{":authority", apiHost, ":method", "OPTIONS", ":path", "*"}, "200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, up := vendor(t, func(http.ResponseWriter, *http.Request) {})
			conn, err := w.tls(byToken, apiHost+":443", apiHost, "h2")
			must(t, err)
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			if got := statusOfHTTP2(t, conn, c.fields); got != c.want {
				t.Errorf("status %s, want %s", got, c.want)
			}
			if c.want != "200" && up.conns.get() != 0 {
				t.Error("the upstream was dialled")
			}
			e := w.records()
			if len(e) != 1 || fmt.Sprint(e[0].Status) != c.want || e[0].Allowed != (c.want == "200") || (e[0].Reason == "") != (c.want == "200") {
				t.Errorf("records %+v", e)
			}
		})
	}
}

// statusOfHTTP2 sends one request as raw frames and returns the status that comes. It is
// a GET of / unless fields say otherwise.
func statusOfHTTP2(t *testing.T, conn io.ReadWriter, fields []string) (status string) {
	t.Helper()
	try(io.WriteString(conn, http2.ClientPreface))(t)
	framer := http2.NewFramer(conn, bufio.NewReader(conn))
	must(t, framer.WriteSettings())
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	usual := []string{":method", "GET", ":scheme", "https", ":path", "/"}
	for i := 0; i < len(usual); i += 2 {
		if !slices.Contains(fields, usual[i]) {
			must(t, encoder.WriteField(hpack.HeaderField{Name: usual[i], Value: usual[i+1]}))
		}
	}
	for i := 0; i < len(fields); i += 2 {
		must(t, encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	must(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		switch f := try(framer.ReadFrame())(t).(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return "reset"
		}
	}
}

func TestTunnelToAnAddressGetsALeafForTheAddress(t *testing.T) {
	w := newWorld(t, setup{unmatched: "allow"})
	for _, target := range []string{"8.8.8.8:443", "[2606:4700::1]:443"} {
		host, _, err := net.SplitHostPort(target)
		must(t, err)
		// crypto/tls sends no server name for an address, and verifies the address.
		if _, err := w.tls(byToken, target, host); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		if _, err := w.tls(byToken, target, "evil.test"); err == nil {
			t.Errorf("%s: a server name was taken for the address", target)
		}
	}
}
