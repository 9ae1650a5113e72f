package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names answers look-ups from a table and remembers them. Each look-up of a name
// takes its next answer, and stays at the last.
type names struct {
	mu      sync.Mutex
	answers map[string][]string // "a b" is one answer with two addresses
	asked   []string
}

func (n *names) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, network+" "+host)
	left := n.answers[host]
	if len(left) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(left) > 1 {
		n.answers[host] = left[1:]
	}
	var addrs []netip.Addr
	for _, f := range strings.Fields(left[0]) {
		addrs = append(addrs, netip.MustParseAddr(f))
	}
	return addrs, nil
}

// wires is a dialer without a network: an address that it has a delay for answers
// after it, a negative delay never, and all others refuse at once.
type wires struct {
	mu     sync.Mutex
	delay  map[string]time.Duration
	dialed []string
	closed []string
}

type wire struct {
	net.Conn
	address string
	of      *wires
}

func (w *wire) Close() error {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	w.of.closed = append(w.of.closed, w.address)
	return nil
}

func (w *wires) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, network+" "+address)
	delay, ok := w.delay[address]
	w.mu.Unlock()
	if !ok {
		return nil, errors.New("connection refused")
	}
	if delay < 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(delay)
	return &wire{address: address, of: w}, nil
}

func TestEveryAnswerIsJudgedBeforeAnyIsDialled(t *testing.T) {
	for _, c := range []struct{ answer, reason string }{
		{"8.8.8.8 10.0.0.1", "private address"},
		{"8.8.8.8 ::1", "loopback address"},
		{"2606:4700::1 8.8.8.8 169.254.169.254", reasonMetadata},
		{"::ffff:127.0.0.1", "loopback address"},
		{"1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9 192.168.0.1", "private address"},
	} {
		d := &wires{delay: map[string]time.Duration{"8.8.8.8:443": 0}}
		g := New(&names{answers: map[string][]string{"evil.test.": {c.answer}}}, d)
		_, err := g.Dial(t.Context(), "evil.test", 443, netip.AddrPort{})
		refused, ok := errors.AsType[*Refused](err)
		if !ok || refused.Reason != c.reason || refused.Host != "evil.test" {
			t.Errorf("%s: error %v, want refused for %s", c.answer, err, c.reason)
		}
		if len(d.dialed) != 0 {
			t.Errorf("%s: dialled %v", c.answer, d.dialed)
		}
	}
}

// A rebinding name is public when it is judged and private a moment later.
func TestJudgedAddressIsTheOneDialled(t *testing.T) {
	n := &names{answers: map[string][]string{"rebind.test.": {"8.8.8.8", "127.0.0.1"}}}
	d := &wires{delay: map[string]time.Duration{"8.8.8.8:443": 0, "127.0.0.1:443": 0}}
	conn, err := New(n, d).Dial(t.Context(), "rebind.test", 443, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if !slices.Equal(d.dialed, []string{"tcp 8.8.8.8:443"}) || len(n.asked) != 1 {
		t.Errorf("dialled %v after look-ups %v", d.dialed, n.asked)
	}
	if _, err := New(n, d).Dial(t.Context(), "rebind.test", 443, netip.AddrPort{}); err == nil {
		t.Error("control: the second answer is not refused")
	}
}

func TestNameIsLookedUpAsCompleteName(t *testing.T) {
	n := &names{answers: map[string][]string{"billing.": {"8.8.8.8"}}}
	d := &wires{delay: map[string]time.Duration{"8.8.8.8:80": 0}}
	conn, err := New(n, d).Dial(t.Context(), "billing", 80, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if !slices.Equal(n.asked, []string{"ip billing."}) {
		t.Errorf("asked for %v", n.asked)
	}
}

// "localhost." is in no file of hosts, and so it did not exist.
func TestNamesOfTheHostsFileAreFoundAndJudged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	text := "127.0.0.1\tlocalhost\n::1 localhost # localhost6\n# 8.8.8.8 comment\n8.8.8.8 dns Public.Test.\nnonsense odd\n9.9.9.9\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n, d := &names{}, &wires{delay: map[string]time.Duration{"8.8.8.8:443": 0}}
	g := New(n, d)
	g.hosts = file
	_, err := g.Dial(t.Context(), "localhost", 443, netip.AddrPort{})
	if refused, ok := errors.AsType[*Refused](err); !ok || refused.Reason != "loopback address" {
		t.Errorf("localhost: %v", err)
	}
	for _, host := range []string{"dns", "public.test"} {
		conn, err := g.Dial(t.Context(), host, 443, netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if len(n.asked) != 0 {
		t.Errorf("asked for %v", n.asked)
	}
	for _, host := range []string{"comment", "odd", "localhost6", "test", "9.9.9.9.test"} {
		if _, err := g.Dial(t.Context(), host, 443, netip.AddrPort{}); err == nil {
			t.Errorf("%s was found", host)
		}
	}
}

func TestAddressIsDialledWithoutLookup(t *testing.T) {
	n, d := &names{}, &wires{delay: map[string]time.Duration{"[2606:4700::1]:443": 0}}
	conn, err := New(n, d).Dial(t.Context(), "2606:4700::1", 443, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := New(n, d).Dial(t.Context(), "127.0.0.1", 443, netip.AddrPort{}); err == nil {
		t.Error("dialled loopback")
	}
	if len(n.asked) != 0 || len(d.dialed) != 1 {
		t.Errorf("asked %v, dialled %v", n.asked, d.dialed)
	}
}

func TestGrantIsDialledInsteadOfTheName(t *testing.T) {
	n, d := &names{}, &wires{delay: map[string]time.Duration{"10.1.2.3:8443": 0}}
	conn, err := New(n, d).Dial(t.Context(), "billing.test", 443, netip.MustParseAddrPort("10.1.2.3:8443"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if len(n.asked) != 0 || !slices.Equal(d.dialed, []string{"tcp 10.1.2.3:8443"}) {
		t.Errorf("asked %v, dialled %v", n.asked, d.dialed)
	}
	_, err = New(n, d).Dial(t.Context(), "billing.test", 443, netip.MustParseAddrPort("169.254.169.254:80"))
	if refused, ok := errors.AsType[*Refused](err); !ok || refused.Hint() != "" {
		t.Errorf("metadata was granted: %v", err)
	}
}

func TestRefusalNamesTheWayOut(t *testing.T) {
	_, err := New(&names{answers: map[string][]string{"in.test.": {"10.0.0.1"}}}, &wires{}).Dial(t.Context(), "in.test", 443, netip.AddrPort{})
	if err == nil || err.Error() != "refusing to connect to in.test at 10.0.0.1: private address" {
		t.Errorf("error %v", err)
	}
	if refused, ok := errors.AsType[*Refused](err); !ok || !strings.Contains(refused.Hint(), "upstream.address") {
		t.Error("no hint at upstream.address")
	}
}

func TestUnknownNameIsNotARefusal(t *testing.T) {
	_, err := New(&names{}, &wires{}).Dial(t.Context(), "nowhere.test", 443, netip.AddrPort{})
	if _, ok := errors.AsType[*net.DNSError](err); !ok {
		t.Errorf("error %v, want the resolver's", err)
	}
}

func TestNextAddressIsTriedWhenOneFails(t *testing.T) {
	n := &names{answers: map[string][]string{"api.test.": {"2606:4700::1 8.8.8.8"}}}
	d := &wires{delay: map[string]time.Duration{"8.8.8.8:443": 0}}
	conn, err := New(n, d).Dial(t.Context(), "api.test", 443, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestSilentAddressDelaysTheNextByItsHeadStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{answers: map[string][]string{"api.test.": {"2606:4700::1 8.8.8.8"}}}
		d := &wires{delay: map[string]time.Duration{"[2606:4700::1]:443": -1, "8.8.8.8:443": 0}}
		began := time.Now()
		conn, err := New(n, d).Dial(t.Context(), "api.test", 443, netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if took := time.Since(began); took != headStart {
			t.Errorf("took %s, want %s", took, headStart)
		}
	})
}

func TestLosersOfTheRaceAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{answers: map[string][]string{"api.test.": {"2606:4700::1 8.8.8.8"}}}
		d := &wires{delay: map[string]time.Duration{"[2606:4700::1]:443": 400 * time.Millisecond, "8.8.8.8:443": 0}}
		conn, err := New(n, d).Dial(t.Context(), "api.test", 443, netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.(*wire).address; got != "8.8.8.8:443" {
			t.Errorf("got %s", got)
		}
		if !slices.Equal(d.closed, []string{"[2606:4700::1]:443"}) {
			t.Errorf("closed %v, want the loser", d.closed)
		}
	})
}

func TestDeadNameGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{answers: map[string][]string{"dead.test.": {"8.8.8.8 8.8.4.4"}}}
		d := &wires{delay: map[string]time.Duration{"8.8.8.8:443": -1, "8.8.4.4:443": -1}}
		began := time.Now()
		_, err := New(n, d).Dial(t.Context(), "dead.test", 443, netip.AddrPort{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != dialTimeout {
			t.Errorf("gave up after %s with %v", time.Since(began), err)
		}
	})
}

func TestAtMostEightAddressesAreTried(t *testing.T) {
	var many []string
	for i := range 20 {
		many = append(many, netip.AddrFrom4([4]byte{8, 8, 8, byte(i + 1)}).String())
	}
	d := &wires{}
	_, err := New(&names{answers: map[string][]string{"many.test.": {strings.Join(many, " ")}}}, d).Dial(t.Context(), "many.test", 443, netip.AddrPort{})
	if err == nil || len(d.dialed) != maxAttempts {
		t.Errorf("error %v after %d attempts", err, len(d.dialed))
	}
}
