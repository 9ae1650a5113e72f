package gate

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func query(t *testing.T, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		t.Fatal(err)
	}
	if err := b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}); err != nil {
		t.Fatal(err)
	}
	message, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func ask(t *testing.T, n *names, name string, kind dnsmessage.Type) dnsmessage.Message {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(n.answer(query(t, name, kind))); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEveryNameHasAnAddressOfOurs(t *testing.T) {
	n := newNames(8)
	m := ask(t, n, "API.Vendor.test.", dnsmessage.TypeA)
	if len(m.Answers) != 1 || m.ID != 7 || !m.Response {
		t.Fatalf("got %+v", m)
	}
	a := netip.AddrFrom4(m.Answers[0].Body.(*dnsmessage.AResource).A)
	if !pool.Contains(a) {
		t.Errorf("%s is not of the pool", a)
	}
	if name, ok := n.name(a); !ok || name != "api.vendor.test" {
		t.Errorf("%s stands for %q", a, name)
	}
	again := ask(t, n, "api.vendor.test.", dnsmessage.TypeA)
	if got := netip.AddrFrom4(again.Answers[0].Body.(*dnsmessage.AResource).A); got != a {
		t.Errorf("the same name got %s and then %s", a, got)
	}
}

func TestOtherTypesAreEmptyAndNotErrors(t *testing.T) {
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeAAAA, dnsmessage.TypeTXT, dnsmessage.TypeMX, dnsmessage.TypeSRV, 65} {
		m := ask(t, newNames(8), "api.vendor.test.", kind)
		if len(m.Answers) != 0 || m.RCode != dnsmessage.RCodeSuccess {
			t.Errorf("%v: %+v", kind, m)
		}
	}
}

func TestLocalhostStaysHome(t *testing.T) {
	for _, name := range []string{"localhost.", "db.localhost."} {
		m := ask(t, newNames(8), name, dnsmessage.TypeA)
		if got := netip.AddrFrom4(m.Answers[0].Body.(*dnsmessage.AResource).A); got != netip127 {
			t.Errorf("%s is at %s", name, got)
		}
	}
}

func TestNameThatCouldBreakAConnectLineIsRefused(t *testing.T) {
	for _, name := range []string{"a b.test.", "a\r\nHost:x.", "ü.test.", "a/b.test.", "a:80."} {
		m := ask(t, newNames(8), name, dnsmessage.TypeA)
		if m.RCode != dnsmessage.RCodeNameError || len(m.Answers) != 0 {
			t.Errorf("%q: %+v", name, m)
		}
	}
}

func TestNoiseGetsNoAnswer(t *testing.T) {
	n := newNames(8)
	answer := n.answer(query(t, "x.test.", dnsmessage.TypeA))
	for _, noise := range [][]byte{nil, {1}, []byte(strings.Repeat("x", 11)), answer} {
		if got := n.answer(noise); got != nil {
			t.Errorf("%q was answered", noise)
		}
	}
}

func FuzzAnyQueryIsAnsweredSafely(f *testing.F) {
	f.Add([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, q []byte) {
		n := newNames(4)
		if reply := n.answer(q); reply != nil {
			var m dnsmessage.Message
			if err := m.Unpack(reply); err != nil || !m.Response {
				t.Errorf("reply to %q: %+v, %v", q, m, err)
			}
		}
		for _, name := range n.byAddr {
			if !plausible(name) {
				t.Errorf("%q was given an address", name)
			}
		}
	})
}

func TestFloodOfNamesStaysBounded(t *testing.T) {
	n := newNames(64)
	kept := n.address("kept.test")
	for i := range 3 * poolSize {
		n.address(fmt.Sprintf("n%d.test", i))
		if i%32 == 0 {
			if _, ok := n.name(kept); !ok { // a name in use stays
				t.Fatalf("the name in use was forgotten after %d others", i)
			}
		}
	}
	if len(n.byAddr) != 64 || n.byName.Len() != 64 {
		t.Errorf("%d addresses and %d names are remembered, want 64", len(n.byAddr), n.byName.Len())
	}
}

func TestNamesAreAnsweredByUDPAndTCP(t *testing.T) {
	n := newNames(8)
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 2)
	go func() { served <- n.serveUDP(socket) }()
	go func() { served <- n.serveTCP(listener) }()
	for _, network := range []string{"udp", "tcp"} {
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			address := socket.LocalAddr()
			if network == "tcp" {
				address = listener.Addr()
			}
			return new(net.Dialer).DialContext(ctx, network, address.String())
		}}
		got, err := resolver.LookupNetIP(t.Context(), "ip", "api.vendor.test.")
		if err != nil || len(got) != 1 || !pool.Contains(got[0].Unmap()) {
			t.Errorf("by %s: %v, %v", network, got, err)
		}
	}
	socket.Close()
	listener.Close()
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}
