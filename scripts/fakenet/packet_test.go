package fakenet

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// unhex reads packets as people write them, with spaces between the parts.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	// from this machine to the sink
	v4 = "cb007101 cb007142"
	v6 = "20010db8000000000000000000000001 20010db8000000000000000000000066"
)

func TestAPacketIsWhatItsHeadersSay(t *testing.T) {
	for _, c := range []struct{ name, packet, want string }{
		{"udp", "45000000 00000000 40110000" + v4 + "1234 007b 0000 0000 6869", `udp 203.0.113.66:123 "hi"`},
		{"udp behind IP options", "46000000 00000000 40110000" + v4 + "01010101 1234 007b 0000 0000 6869", `udp 203.0.113.66:123 "hi"`},
		{"a first fragment", "45000000 00002000 40110000" + v4 + "1234 007b 0000 0000 6869", `udp 203.0.113.66:123 "hi"`},
		{"a later fragment", "45000000 00000001 40110000" + v4 + "6869", `ip 203.0.113.66:0 "hi"`},
		{"syn", "45000000 00000000 40060000" + v4 + "1234 0019 00000000 00000000 5002", `syn 203.0.113.66:25 ""`},
		{"syn with ack", "45000000 00000000 40060000" + v4 + "1234 0019 00000000 00000000 5012", ""},
		{"ack", "45000000 00000000 40060000" + v4 + "1234 0019 00000000 00000000 5010", ""},
		{"ping", "45000000 00000000 40010000" + v4 + "0800 0000 0001 0001 6869", `icmp 203.0.113.66:0 "hi"`},
		{"gre", "45000000 00000000 402f0000" + v4 + "6869", `ip 203.0.113.66:0 "hi"`},
		{"udp cut short", "45000000 00000000 40110000" + v4 + "6869", `ip 203.0.113.66:0 "hi"`},
		{"options cut short", "4f000000 00000000 40110000" + v4 + "6869", `ip 203.0.113.66:0 "hi"`},
		{"udp by IPv6", "60000000 0000 11 40" + v6 + "1234 007b 0000 0000 6869", `udp [2001:db8::66]:123 "hi"`},
		{"udp behind extension headers", "60000000 0000 00 40" + v6 + "3c00000000000000 1100000000000000 1234 007b 0000 0000 6869", `udp [2001:db8::66]:123 "hi"`},
		{"a later IPv6 fragment", "60000000 0000 2c 40" + v6 + "1100000800000000 6869", `ip [2001:db8::66]:0 "\x11\x00\x00\b\x00\x00\x00\x00hi"`},
		{"an extension header cut short", "60000000 0000 00 40" + v6 + "11ff000000000000 6869", `ip [2001:db8::66]:0 "\x11\xff\x00\x00\x00\x00\x00\x00hi"`},
		{"ping by IPv6", "60000000 0000 3a 40" + v6 + "8000 0000 0001 0001 6869", `icmp [2001:db8::66]:0 "hi"`},
		{"neighbour solicitation", "60000000 0000 3a 40" + v6 + "8700 0000 0000 0000", ""},
		{"neither 4 nor 6", "50 6869", `ip invalid AddrPort "Phi"`},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			if e, ok := parsePacket(unhex(t, c.packet)); ok {
				got = fmt.Sprintf("%s %s %q", e.Kind, e.To, e.Payload)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Whatever arrives must be noted without a panic: the sink is shown to attackers.
func FuzzParsePacket(f *testing.F) {
	f.Add([]byte{0x45, 19: 0})
	f.Add([]byte{0x60, 6: 0, 47: 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parsePacket(b); ok && (e.Kind == "" || len(e.Payload) > len(b)) {
			t.Errorf("%x: %+v", b, e)
		}
	})
}

func FuzzAnswerDNS(f *testing.F) {
	f.Add([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04evil\x04test\x00\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if reply, questions := answerDNS(b, true); reply != nil && len(questions) == 0 {
			t.Errorf("%x is answered without a question", b)
		}
	})
}
