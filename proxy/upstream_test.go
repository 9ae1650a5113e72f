package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault/policy"
)

// scripted is an upstream that is no HTTP server: it does what play says with each
// connection, after TLS, and keeps the bytes that came.
type scripted struct {
	addr netip.AddrPort
	ca   string

	mu   sync.Mutex
	seen strings.Builder
}

func (s *scripted) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Write(p)
}

func (s *scripted) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

// newScripted plays on each connection. play reads heads through r, which keeps them.
func newScripted(t *testing.T, play func(n int, conn net.Conn, r *bufio.Reader)) *scripted {
	t.Helper()
	cert, pem := selfSigned(t, apiHost)
	ln := try(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}}))(t)
	s := &scripted{addr: netip.MustParseAddrPort(ln.Addr().String()), ca: pem}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				play(n, conn, bufio.NewReader(io.TeeReader(conn, s)))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return s
}

func (s *scripted) world(t *testing.T) *world {
	return newWorld(t, setup{services: services(policy.Service{
		Name: "vendor", Host: apiHost, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
		Upstream: policy.Upstream{Address: s.addr, CA: s.ca},
	})})
}

// readHead reads a request's head.
func readHead(r *bufio.Reader) bool {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == "\r\n" {
			return true
		}
	}
}

func TestUntrustedUpstreamDoesNotGetTheCredential(t *testing.T) {
	for _, c := range []struct{ name, host, why string }{
		{"unknown authority", apiHost, "an unknown authority signed it"},
		{"another host", "other.test", "it is for another host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newUpstream(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }, c.host)
			service := up.bearer(apiHost)
			if c.host == apiHost {
				_, service.Upstream.CA = selfSigned(t, apiHost)
			}
			// The system would vouch for it; a service that names its CA wants that one only.
			system := x509.NewCertPool()
			system.AppendCertsFromPEM([]byte(up.ca))
			w := newWorld(t, setup{services: services(service), roots: system})
			res := try(w.client(byToken).Get("https://" + apiHost + "/"))(t)
			if e := reason(t, res); res.StatusCode != 502 || e.Code != "untrusted" || !strings.Contains(e.Message, c.why) {
				t.Errorf("%s %+v", res.Status, e)
			}
			if e := w.records()[0]; e.Keys != nil || e.Upstream != "" {
				t.Errorf("record %+v", e)
			}
		})
	}
}

func TestSystemRootsVouchWhereNoServiceDoes(t *testing.T) {
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) {}, "public.test")
	roots := x509.NewCertPool()
	w := newWorld(t, setup{allow: []string{"public.test"}, roots: roots})
	w.names.leads("public.test", "8.8.8.8", 443, up.Listener.Addr())
	if res := try(w.client(byToken).Get("https://public.test/"))(t); reason(t, res).Code != "untrusted" {
		t.Errorf("control: %s", res.Status)
	}
	roots.AppendCertsFromPEM([]byte(up.ca))
	w.opened = w.session(setup{allow: []string{"public.test"}})
	if res := try(w.client(byToken).Get("https://public.test/"))(t); res.StatusCode != 200 {
		t.Errorf("%s %s", res.Status, read(t, res))
	}
}

// The transport would send it again by itself: the method is safe, the connection was
// used before, and no answer came.
func TestNoRequestIsSentTwice(t *testing.T) {
	for _, request := range []string{
		"GET /%d HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n",
		"HEAD /%d HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n",
		"GET /%d HTTP/1.1\r\nHost: " + apiHost + "\r\nIdempotency-Key: 1\r\n\r\n",
		"POST /%d HTTP/1.1\r\nHost: " + apiHost + "\r\nIdempotency-Key: 1\r\nContent-Length: 0\r\n\r\n",
		"POST /%d HTTP/1.1\r\nHost: " + apiHost + "\r\nX-Idempotency-Key: 1\r\nContent-Length: 2\r\n\r\nhi",
	} {
		method, _, _ := strings.Cut(request, " ")
		t.Run(method, func(t *testing.T) {
			up := newScripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				if req, err := http.ReadRequest(r); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
				_, _ = http.ReadRequest(r) // and hang up
			})
			w := up.world(t)
			conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
			if res := raw(t, conn, fmt.Sprintf(request, 1)); res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
			if res := raw(t, conn, fmt.Sprintf(request, 2)); res.StatusCode != 502 {
				t.Errorf("%s", res.Status)
			}
			if n := strings.Count(up.received(), "/2 HTTP/1.1"); n != 1 {
				t.Errorf("sent %d times:\n%s", n, up.received())
			}
			if strings.Contains(request, "Idempotency") && !strings.Contains(strings.ToLower(up.received()), "idempotency-key: 1") {
				t.Errorf("the key did not arrive:\n%s", up.received())
			}
		})
	}
}

func TestRequestLeavesWithOneFraming(t *testing.T) {
	for _, c := range []struct{ name, request, want string }{
		{"no body", "GET /x HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n",
			"GET /x HTTP/1.1\r\nHost: " + apiHost + "\r\nAuthorization: Bearer " + secret + "\r\n\r\n"},
		{"length", "POST /x HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 4\r\n\r\nbody",
			"POST /x HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 4\r\nAuthorization: Bearer " + secret + "\r\n\r\nbody"},
		{"length of nothing", "POST /x HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 0\r\n\r\n",
			"POST /x HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 0\r\nAuthorization: Bearer " + secret + "\r\n\r\n"},
		{"chunks", "POST /x HTTP/1.1\r\nHost: " + apiHost + "\r\nTransfer-Encoding: chunked\r\n\r\n4;ext=1\r\nbody\r\n0\r\n\r\n",
			"POST /x HTTP/1.1\r\nHost: " + apiHost + "\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer " + secret + "\r\n\r\n4\r\nbody\r\n0\r\n\r\n"},
		{"a body that holds a request", "POST /x HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 32\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST /x HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 32\r\nAuthorization: Bearer " + secret + "\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newScripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			})
			w := up.world(t)
			conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
			if res := raw(t, conn, c.request); res.StatusCode != 204 {
				t.Errorf("%s %s", res.Status, read(t, res))
			}
			if got := up.received(); got != c.want {
				t.Errorf("arrived\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}

// A body that ends wrong reaches nobody as a whole request.
func TestMalformedBodyIsRefused(t *testing.T) {
	for _, body := range []string{"5\nhello\r\n0\r\n\r\n", "-1\r\n", "5\r\nhello!\r\n0\r\n\r\n", "ffffffffffffffffffff\r\n"} {
		up := newScripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
			_, _ = io.Copy(io.Discard, r)
		})
		w := up.world(t)
		conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
		res := raw(t, conn, chunkedTo(apiHost)+body)
		if read(t, res); res.StatusCode != 400 {
			t.Errorf("%q: %s", body, res.Status)
		}
		if got := up.received(); strings.HasSuffix(got, "0\r\n\r\n") {
			t.Errorf("%q: arrived whole: %q", body, got)
		}
		ended(t, conn)
		if e := w.records(); len(e) != 1 || e[0].Status != 400 || e[0].Allowed {
			t.Errorf("%q: records %+v", body, e)
		}
	}
}

func chunkedTo(host string) string {
	return strings.Replace(chunked(""), "Host: a\r\n", "Host: "+host+"\r\n", 1)
}

func TestUpstreamThatMisbehavesIsA502(t *testing.T) {
	const leak = "Bearer " + secret
	for _, c := range []struct{ name, answer string }{
		{"hangs up", ""},
		{"garbage", "\x00\x01\x02\x03\r\n\r\n"},
		{"echoes the credential as a status line", leak + "\r\n\r\n"},
		{"echoes it as a header", "HTTP/1.1 200 OK\r\n" + leak + "\r\n\r\n"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"},
		{"a bad length", "HTTP/1.1 200 OK\r\nContent-Length: " + leak + "\r\n\r\nhello!"},
		{"an unknown encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + leak + "\r\n\r\n"},
		{"an endless head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", maxResponseHeaderBytes) + "\r\n\r\n"},
		{"1xx for ever", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", 20000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newScripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				if readHead(r) {
					_, _ = io.WriteString(conn, c.answer)
				}
			})
			w := up.world(t)
			res := try(w.clientOf(byToken, false).Get("https://" + apiHost + "/"))(t)
			e := reason(t, res)
			if res.StatusCode != 502 || e.Code != "upstream_failed" {
				t.Errorf("%s %+v", res.Status, e)
			}
			entries := w.records()
			if len(entries) != 1 || entries[0].Status != 502 || !entries[0].Allowed || entries[0].Upstream == "" {
				t.Errorf("records %+v", entries)
			}
			for where, text := range map[string]string{"the answer": fmt.Sprint(e), "the record": fmt.Sprint(entries), "the log": w.logs.String()} {
				if strings.Contains(text, secret) {
					t.Errorf("the secret is in %s: %s", where, text)
				}
			}
		})
	}
}

func TestReasonsAreInOurOwnWords(t *testing.T) {
	target := policy.Target{Host: apiHost, Port: 443}
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{&egress.Refused{Host: apiHost, Reason: "private address"}, 403, "egress_refused"},
		{fmt.Errorf("%w: %w", &egress.ProxyError{}, &tls.CertificateVerificationError{Err: errors.New(secret)}), 502, "upstream_proxy_failed"},
		{fmt.Errorf("%w: %w", &egress.ProxyError{}, os.ErrDeadlineExceeded), 504, "upstream_proxy_failed"},
		{&net.DNSError{IsNotFound: true, Name: secret}, 502, "unresolved"},
		{&net.DNSError{IsTimeout: true, Server: secret}, 502, "unresolved"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, 502, "untrusted"},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{secret}}, Host: apiHost}}, 502, "untrusted"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Detail: secret}}, 502, "untrusted"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}}, 502, "untrusted"},
		{&tls.CertificateVerificationError{Err: errors.New(secret)}, 502, "untrusted"},
		{&net.OpError{Op: "remote error", Err: errors.New(secret)}, 502, "tls_failed"},
		{tls.RecordHeaderError{Msg: secret}, 502, "tls_failed"},
		{errUpgrade, 502, "bad_upgrade"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, 502, "unreachable"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, 502, "unreachable"},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, 504, "timeout"},
		{fmt.Errorf("malformed HTTP response %q", secret), 502, "upstream_failed"},
	} {
		f := explain(fmt.Errorf("wrapped: %w", c.err), target)
		if f.status != c.status || f.code != c.code || f.message == "" {
			t.Errorf("%v: %+v", c.err, f)
		}
		if strings.Contains(f.message+f.hint, secret) {
			t.Errorf("%v: repeated in %+v", c.err, f)
		}
	}
}

func TestUnreachableUpstreamIsExplained(t *testing.T) {
	closed := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	addr := netip.MustParseAddrPort(closed.Addr().String())
	closed.Close()
	service := policy.Service{
		Name: "vendor", Host: apiHost, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
		Upstream: policy.Upstream{Address: addr},
	}
	w := newWorld(t, setup{services: services(service), allow: []string{"nowhere.test"}})
	for host, code := range map[string]string{apiHost: "unreachable", "nowhere.test": "unresolved"} {
		res := try(w.client(byToken).Get("https://" + host + "/"))(t)
		if e := reason(t, res); res.StatusCode != 502 || e.Code != code {
			t.Errorf("%s: %s %+v", host, res.Status, e)
		}
	}
}
