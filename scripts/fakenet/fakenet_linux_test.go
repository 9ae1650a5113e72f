package fakenet

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/av-project/av/scripts/require"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
	}
	goleak.VerifyTestMain(m)
}

// open makes a fake internet for one test.
func open(t *testing.T) *Net {
	t.Helper()
	require.Root(t)
	require.Net(t)
	n, err := New(within(t, 5*time.Minute)) // others on this machine have theirs first
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// a marker is never in a packet by chance, and can be a label of a name.
func newMarker() string { return "m" + strings.ToLower(rand.Text()) }

func TestWhatTheHostSendsArrives(t *testing.T) {
	n := open(t)
	for _, c := range []struct {
		name string
		kind Kind
		v6   bool
		send func(t *testing.T, marker string)
	}{
		{"tcp", TCP, false, func(t *testing.T, m string) { send(t, "tcp", "203.0.113.66:25", m) }},
		{"tcp to another port of the API's host", TCP, false, func(t *testing.T, m string) { send(t, "tcp", "203.0.113.10:22", m) }},
		{"tcp by IPv6", TCP, true, func(t *testing.T, m string) { send(t, "tcp", "[2001:db8::66]:443", m) }},
		{"udp 53", UDP, false, func(t *testing.T, m string) { send(t, "udp", "203.0.113.66:53", m) }},
		{"udp 123", UDP, false, func(t *testing.T, m string) { send(t, "udp", "203.0.113.66:123", m) }},
		{"udp 443", UDP, false, func(t *testing.T, m string) { send(t, "udp", "203.0.113.66:443", m) }},
		{"udp to a port where nobody listens", UDP, false, func(t *testing.T, m string) { send(t, "udp", "203.0.113.66:41414", m) }},
		{"udp by IPv6", UDP, true, func(t *testing.T, m string) { send(t, "udp", "[2001:db8::66]:33434", m) }},
		{"ping", ICMP, false, func(t *testing.T, m string) {
			ping(t, "ip4:icmp", ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply, SinkAddr, m)
		}},
		{"ping by IPv6", ICMP, true, func(t *testing.T, m string) {
			ping(t, "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, SinkAddr6, m)
		}},
		{"a packet of another protocol", IP, false, func(t *testing.T, m string) { send(t, "ip4:253", "203.0.113.66", m) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.v6 && !n.IPv6() {
				t.Skip("needs IPv6 in the kernel")
			}
			marker := newMarker()
			if len(n.Sinks().Seen(marker)) > 0 {
				t.Fatal("the marker is there before it was sent")
			}
			c.send(t, marker)
			e, err := n.Sinks().Wait(within(t, 10*time.Second), marker, c.kind)
			if err != nil {
				t.Fatal(err)
			}
			if from := e.From.Addr(); from != HostAddr && from != HostAddr6 {
				t.Errorf("it came from %v", from)
			}
			// Of its kind: a sender that has gone answers the sink's reply with an ICMP error that quotes it.
			if seen := n.Sinks().Seen(marker, c.kind); len(seen) != 1 {
				t.Errorf("it was noted %d times: %v", len(seen), seen)
			}
		})
	}
}

func TestAConnectionIsSeenOnAnyPort(t *testing.T) {
	n := open(t)
	conn, err := net.Dial("tcp", "203.0.113.66:6666")
	if err == nil {
		conn.Close()
		t.Fatal("somebody listens on 6666")
	}
	if err := n.Settle(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if seen := n.Sinks().Seen("203.0.113.66:6666", SYN); len(seen) != 1 {
		t.Errorf("seen: %v", seen)
	}
}

func TestAMarkerMayBeSplitAcrossSegments(t *testing.T) {
	n := open(t)
	conn, err := net.Dial("tcp", "203.0.113.66:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	marker := newMarker()
	for i := range len(marker) {
		if _, err := conn.Write([]byte(marker[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.Sinks().Wait(within(t, 10*time.Second), marker, TCP); err != nil {
		t.Error(err)
	}
}

func TestAfterSettleWhatWasSentIsNoted(t *testing.T) {
	n := open(t)
	var markers []string
	for range 200 {
		m := newMarker()
		markers = append(markers, m)
		send(t, "udp", "203.0.113.66:123", m)
	}
	if err := n.Settle(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	for i, m := range markers {
		if len(n.Sinks().Seen(m, UDP)) != 1 {
			t.Fatalf("datagram %d of %d is not noted", i+1, len(markers))
		}
	}
}

func TestDatagramsComeBack(t *testing.T) {
	open(t)
	conn, err := net.Dial("udp", "203.0.113.66:123")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	marker, got := newMarker(), make([]byte, 100)
	if _, err := conn.Write([]byte(marker)); err != nil {
		t.Fatal(err)
	}
	size, err := conn.Read(got)
	if err != nil || string(got[:size]) != marker {
		t.Errorf("%q, %v", got[:size], err)
	}
}

func TestNamesInTestAreAnsweredAndAllAreNoted(t *testing.T) {
	n := open(t)
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, "203.0.113.53:53")
			}}
			ctx, marker := within(t, 10*time.Second), newMarker()
			for name, want := range map[string]netip.Addr{
				APIName + ".":                           APIAddr,
				marker + ".evil.test.":                  SinkAddr,
				strings.ToUpper(marker) + ".Evil.Test.": SinkAddr,
			} {
				got, err := r.LookupNetIP(ctx, "ip4", name)
				if err != nil || len(got) != 1 || got[0].Unmap() != want {
					t.Errorf("%s is %v, %v; want %v", name, got, err, want)
				}
			}
			if seen := n.Sinks().Seen(marker, DNS); len(seen) != 2 || !strings.HasPrefix(seen[0].Name, "A m") &&
				!strings.HasPrefix(seen[1].Name, "A m") {
				t.Errorf("noted: %v", seen)
			}
			var dnsErr *net.DNSError
			if _, err := r.LookupTXT(ctx, marker+".elsewhere.example."); !errors.As(err, &dnsErr) || !dnsErr.IsNotFound {
				t.Errorf("a name outside test: %v", err)
			}
			if seen := n.Sinks().Seen("TXT "+marker+".elsewhere.example.", DNS); len(seen) != 1 {
				t.Errorf("noted: %v", seen)
			}
		})
	}
}

func TestFollowYieldsEverythingFromTheFirst(t *testing.T) {
	n := open(t)
	early, late := newMarker(), newMarker()
	send(t, "udp", "203.0.113.66:123", early)
	if _, err := n.Sinks().Wait(within(t, 10*time.Second), early); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for e := range n.Sinks().Follow(within(t, 10*time.Second)) {
		if e.Kind == UDP && e.carries(early) {
			seen = append(seen, "early")
			send(t, "udp", "203.0.113.66:123", late)
		}
		if e.Kind == UDP && e.carries(late) {
			seen = append(seen, "late")
			break
		}
	}
	if got := strings.Join(seen, " "); got != "early late" {
		t.Errorf("yielded %q", got)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newSinks().Wait(ctx, "nothing"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// From Docker's default bridge, where a container has the network that av takes from it. These are the positive
// controls: a test that finds a sink empty means something only because the same packet arrives from here.
func TestContainersReachTheFakeInternet(t *testing.T) {
	require.Docker(t)
	n := open(t)
	for _, c := range []struct {
		name   string
		kind   Kind
		script string // $M is the marker
	}{
		{"tcp", TCP, `echo $M >/dev/tcp/203.0.113.66/443`},
		{"udp", UDP, `echo $M >/dev/udp/203.0.113.66/123`},
		{"ping", ICMP, `perl -MSocket -e '
			socket(my $s, PF_INET, SOCK_RAW, 1) or die $!;
			my $echo = sub { pack("CCnnn", 8, 0, $_[0], 1, 1) . $ENV{M} };
			my $sum = unpack("%32n*", $echo->(0) . "\0" x (length($ENV{M}) % 2));
			$sum = ($sum & 0xffff) + ($sum >> 16) for 1, 2;
			send($s, $echo->(~$sum & 0xffff), 0, sockaddr_in(0, inet_aton("203.0.113.66"))) or die $!;
			alarm 10; recv($s, my $reply, 1500, 0); index($reply, $ENV{M}) > 0 or die "no reply"'`},
		// A query for A records of $M.evil.test, written by hand: the image has no tool for it.
		{"dns", DNS, `perl -MSocket -e '
			socket(my $s, PF_INET, SOCK_DGRAM, 0) or die $!;
			my $q = pack("nnnnnn", 7, 0x100, 1, 0, 0, 0) . join("", map { pack("C/a", $_) } $ENV{M}, "evil", "test", "") . pack("nn", 1, 1);
			send($s, $q, 0, sockaddr_in(53, inet_aton("203.0.113.53"))) or die $!;
			alarm 10; recv($s, my $reply, 1500, 0); substr($reply, -4) eq inet_aton("203.0.113.66") or die "wrong answer"'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			marker, ctx := newMarker(), within(t, time.Minute)
			out, err := exec.CommandContext(ctx, "docker", "run", "--rm", "--env", "M="+marker, require.Image,
				"bash", "-c", c.script).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if _, err := n.Sinks().Wait(ctx, marker, c.kind); err != nil {
				t.Error(err)
			}
		})
	}
}

func send(t *testing.T, network, addr, payload string) {
	t.Helper()
	conn, err := net.DialTimeout(network, addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// ping sends an echo request and waits for its reply.
func ping(t *testing.T, network string, request, reply icmp.Type, to netip.Addr, payload string) {
	t.Helper()
	conn, err := icmp.ListenPacket(network, "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	m := icmp.Message{Type: request, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: []byte(payload)}}
	packet, err := m.Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteTo(packet, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	for {
		size, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		got, err := icmp.ParseMessage(request.Protocol(), buf[:size])
		if err == nil && got.Type == reply && strings.Contains(string(buf[:size]), payload) {
			return
		}
	}
}

func TestAQueryThatIsNoneGetsNoAnswer(t *testing.T) {
	response := dnsmessage.Message{Header: dnsmessage.Header{Response: true}}
	packed, err := response.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range [][]byte{nil, []byte("x"), packed} {
		if reply, _ := answerDNS(query, true); reply != nil {
			t.Errorf("%q is answered", query)
		}
	}
}
