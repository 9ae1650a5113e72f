package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWrongPasswordIsToldWithoutThePassword(t *testing.T) {
	const wrong = "wr0ng-s3cret"
	for _, scheme := range schemes {
		n := newNetwork(t, plan{scheme: scheme, names: map[string][]string{"a.test.": {"8.8.8.8 8.8.4.4 1.1.1.1"}}})
		for name, address := range map[string]string{"wrong": n.proxy.login(user, wrong), "none": n.proxy.url()} {
			way, err := NewProxy(address, "", n.Guard.proxy.roots)
			if err != nil {
				t.Fatal(err)
			}
			n.Guard.proxy = way
			_, _, before := n.proxy.was()
			_, err = n.Dial(t.Context(), "a.test", 443, netip.AddrPort{})
			failed, ok := errors.AsType[*ProxyError](err)
			if !ok || failed.Hint() == "" || !strings.Contains(failed.Error(), n.proxy.url()) {
				t.Fatalf("%s, %s: %v", scheme, name, err)
			}
			want := map[string]string{"wrong": "it does not accept the user and password", "none": "it wants "}[name]
			if !strings.HasPrefix(failed.Reason, want) {
				t.Errorf("%s, %s: %s", scheme, name, failed.Reason)
			}
			for _, text := range []string{err.Error(), failed.Hint(), fmt.Sprintf("%+v %#v", err, err), fmt.Sprintf("%+v %#v %v", way, way, *way)} {
				if strings.Contains(text, wrong) || strings.Contains(text, "ag%ent") || strings.Contains(text, escape(wrong)) {
					t.Errorf("%s, %s: the password is in %s", scheme, name, text)
				}
			}
			// Some lock who tries three times.
			if _, _, after := n.proxy.was(); after != before+1 {
				t.Errorf("%s, %s: %d attempts", scheme, name, after-before)
			}
		}
	}
}

// What the proxy says could be anything, the password too.
func TestProxyThatFailsIsExplainedInOurWords(t *testing.T) {
	const leak = password
	for _, c := range []struct{ scheme, answer, want string }{
		{"http", "HTTP/1.1 403 " + leak + "\r\nX: " + leak + "\r\n\r\n" + leak, "it refuses that (403)"},
		{"http", "HTTP/1.1 502 " + leak + "\r\n\r\n", "it answers 502"},
		{"https", "HTTP/1.1 504 " + leak + "\r\n\r\n", "it answers 504"},
		{"http", "HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate " + leak + "\r\n\r\n", "it wants another proof than a user and a password (407)"},
		{"http", "HTTP/1.1 101 x\r\n\r\n", "it answers 101"},
		{"http", leak + "\r\n\r\n", "it does not speak HTTP"},
		{"http", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxProxyHead), "it does not speak HTTP"},
		{"http", "HTTP/1.1 200 OK\r\n", "it closes the connection"},
		{"http", "\x15\x03\x01\r\n\r\n", "it does not speak HTTP"},
		{"socks5", "HTTP/1.1 400 " + leak + "\r\n\r\n", "it does not speak SOCKS 5"},
		{"socks5h", "\x05\xff", "it wants another proof of who we are"},
		{"socks5h", "\x05", "it closes the connection"},
		{"socks5", "\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00", "it says: host unreachable"},
		{"socks5h", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "it says: connection not allowed by ruleset"},
	} {
		n := newNetwork(t, plan{scheme: c.scheme, names: map[string][]string{"a.test.": {"8.8.8.8"}}})
		n.proxy.answer = c.answer
		_, err := n.Dial(t.Context(), "a.test", 443, netip.AddrPort{})
		failed, ok := errors.AsType[*ProxyError](err)
		if !ok || failed.Reason != c.want {
			t.Errorf("%s %.40q: %v, want %s", c.scheme, c.answer, err, c.want)
			continue
		}
		if text := err.Error() + failed.Hint() + fmt.Sprintf("%+v", err); strings.Contains(text, leak) {
			t.Errorf("%s %.40q: repeated in %s", c.scheme, c.answer, text)
		}
	}
}

func TestProxyThatIsDownIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for _, scheme := range schemes {
		way, err := NewProxy(scheme+"://u:p@"+addr, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		n, s := &names{answers: map[string][]string{"a.test.": {"8.8.8.8"}}}, &streets{}
		_, err = New(n, s, Through(way)).Dial(t.Context(), "a.test", 443, netip.AddrPort{})
		if want := "the upstream proxy " + scheme + "://" + addr + " does not connect to "; err == nil ||
			!strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), ":443: it refuses connections") {
			t.Errorf("%v", err)
		}
		// It is not gone around.
		if d := s.were(); !slices.Equal(d, []string{addr}) {
			t.Errorf("dialled %v", d)
		}
	}
}

func TestProxyIsFoundByANameOfTheLocalNetwork(t *testing.T) {
	server := echo(t, "vendor")
	c := newCorporate(t, "http", map[string]string{"a.test:443": server}, nil)
	port := c.addr[strings.LastIndex(c.addr, ":")+1:]
	c.addr = "proxyhost:" + port
	for answer, want := range map[string]string{
		"10.9.9.9": "", "169.254.169.254": "its name leads to a cloud metadata address", "": "its name cannot be resolved",
	} {
		n := &names{answers: map[string][]string{}}
		if answer != "" {
			n.answers["proxyhost"] = []string{answer}
		}
		way, err := NewProxy(c.login(user, password), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		g := New(n, &streets{routes: map[string]string{"10.9.9.9:" + port: "127.0.0.1:" + port}}, Through(way))
		conn, err := g.Dial(t.Context(), "a.test", 443, netip.AddrPort{})
		if want == "" {
			if err != nil {
				t.Fatal(err)
			}
			arrived(t, conn)
			continue
		}
		if failed, ok := errors.AsType[*ProxyError](err); !ok || failed.Reason != want {
			t.Errorf("%s: %v, want %s", answer, err, want)
		}
	}
}

func TestPasswordGoesOnlyToTheProxyThatItsCertificateNames(t *testing.T) {
	good, goodText := selfSigned(t, "127.0.0.1")
	other, otherText := selfSigned(t, "proxy.elsewhere.test")
	for _, c := range []struct {
		name, text, want string
		tls              bool
	}{
		{"good", goodText, "", true},
		{"unknown authority", otherText, "its certificate is not to be trusted", true},
		{"another host", otherText, "its certificate is for another host", true},
		{"no TLS", goodText, "it does not speak TLS", false},
	} {
		cert := good
		if c.name == "another host" {
			cert = other
		}
		if !c.tls {
			cert = nil
		}
		proxy := newCorporate(t, "https", map[string]string{"a.test:443": echo(t, "vendor")}, cert)
		way, err := NewProxy(proxy.login(user, password), "", pool(t, c.text))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := New(&names{}, &streets{}, Through(way)).Dial(t.Context(), "a.test", 443, netip.AddrPort{})
		_, proof, _ := proxy.was()
		if c.want == "" {
			if err != nil || len(proof) != 1 {
				t.Fatalf("control: %v, proofs %v", err, proof)
			}
			arrived(t, conn)
			continue
		}
		if failed, ok := errors.AsType[*ProxyError](err); !ok || failed.Reason != c.want || len(proof) != 0 {
			t.Errorf("%s: %v, proofs %v", c.name, err, proof)
		}
	}
}

// A server that speaks first may have its words in the same packet as the proxy's.
func TestWordsAfterTheProxysAnswerAreTheServers(t *testing.T) {
	for _, scheme := range schemes {
		n := newNetwork(t, plan{
			scheme: scheme, names: map[string][]string{"a.test.": {"8.8.8.8"}},
			leads: map[string]string{"a.test:22": echo(t, ""), "8.8.8.8:22": echo(t, "")},
		})
		n.proxy.greets = "SSH-2.0"
		conn, err := n.Dial(t.Context(), "a.test", 22, netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		if got := arrived(t, conn); got != "SSH-2.0" {
			t.Errorf("%s: %q", scheme, got)
		}
	}
}

// silence is a dialer whose connections take what they are told and never answer.
type silence struct{}

func (silence) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	return near, nil
}

// slow is a resolver that never answers.
type slow struct{}

func (slow) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestSilentProxyIsGivenUpInTime(t *testing.T) {
	for _, scheme := range schemes {
		synctest.Test(t, func(t *testing.T) {
			way, err := NewProxy(scheme+"://u:p@10.0.0.1:3128", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err = New(&names{}, silence{}, Through(way)).Dial(t.Context(), "8.8.8.8", 443, netip.AddrPort{})
			failed, ok := errors.AsType[*ProxyError](err)
			if !ok || failed.Reason != "it does not answer in time" || time.Since(began) != proxyTimeout {
				t.Errorf("%s: %v after %s", scheme, err, time.Since(began))
			}
			if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
				t.Errorf("%s: not a timeout: %v", scheme, err)
			}
		})
	}
}

// The proxy knows a name that our resolver is slow to admit it does not.
func TestSlowResolverDoesNotHoldUpTheProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		way, err := NewProxy("http://10.0.0.1:3128", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = New(slow{}, &wires{}, Through(way)).Dial(t.Context(), "a.test", 443, netip.AddrPort{})
		if _, ok := errors.AsType[*ProxyError](err); !ok || time.Since(began) != localTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// lateConn ends its context just before the last byte of the proxy's answer is read, and
// waits for what that does to it.
type lateConn struct {
	net.Conn
	answer io.Reader
	end    func()
	dead   chan struct{}
	closed bool
}

func (c *lateConn) Write(p []byte) (int, error) { return len(p), nil }
func (c *lateConn) SetDeadline(time.Time) error { close(c.dead); return nil }
func (c *lateConn) Close() error                { c.closed = true; return nil }
func (c *lateConn) Read(p []byte) (n int, err error) {
	n, err = c.answer.Read(p)
	c.endAfter()
	return n, err
}

func (c *lateConn) endAfter() {
	if left, ok := c.answer.(*strings.Reader); ok && left.Len() == 0 {
		c.end()
		<-c.dead
	}
}

func (c *lateConn) DialContext(context.Context, string, string) (net.Conn, error) { return c, nil }

// Its deadline is in the past, and nobody would take that back.
func TestConnectionThatCameTooLateIsClosed(t *testing.T) {
	way, err := NewProxy("http://10.0.0.1:3128", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	late := &lateConn{answer: strings.NewReader("HTTP/1.1 200 OK\r\n\r\n"), end: cancel, dead: make(chan struct{})}
	conn, err := New(&names{}, late, Through(way)).Dial(ctx, "8.8.8.8", 443, netip.AddrPort{})
	if conn != nil || !errors.Is(err, context.Canceled) || !late.closed {
		t.Errorf("%v, %v, closed: %v", conn, err, late.closed)
	}
}
