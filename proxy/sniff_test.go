package proxy

import (
	"strings"
	"testing"
)

func TestFirstBytesTellWhatIsSpoken(t *testing.T) {
	for _, c := range []struct {
		in   string
		want speech
	}{
		{"", undecided},
		{"\x16", undecided},
		{"\x16\x03\x01\x02\x00\x01", speaksTLS},
		{"\x16\x03", speaksTLS},
		{"\x16\x02\x00", speaksOther},
		{"\x16GET", speaksOther},
		{"\x80\x2e\x01\x03\x01", speaksOther}, // SSLv2's ClientHello
		{"G", undecided}, {"GET", undecided}, {"GET ", undecided},
		{"GET /", speaksHTTP}, {"OPTIONS *", speaksHTTP}, {"GET http://a/", speaksHTTP}, {"VERSION-CONTROL /", speaksHTTP},
		{"GET  /", speaksOther}, {" GET /", speaksOther}, {"get /", speaksOther}, {"-", speaksOther},
		{"SSH-2.0-OpenSSH_9.2\r\n", speaksOther},
		{"EHLO vendor.test\r\n", speaksOther},
		{"USER anonymous\r\n", speaksOther},
		{"\x00\x00\x00\x08\x04\xd2\x16\x2f", speaksOther}, // PostgreSQL asks for TLS
		{"*1\r\n$4\r\nPING\r\n", speaksOther},
		{"\r\n", speaksOther}, {"\x00", speaksOther}, {"\xff", speaksOther},
		{strings.Repeat("A", maxSniff), speaksOther},
	} {
		if got := sniff([]byte(c.in)); got != c.want {
			t.Errorf("%q: %d, want %d", c.in, got, c.want)
		}
	}
}

// FuzzSniff holds the peek to its law: it decides in time, and stays decided.
func FuzzSniff(f *testing.F) {
	for _, seed := range []string{"\x16\x03\x01\x02\x00", "GET / HTTP/1.1\r\n", "SSH-2.0-x", "\x16", "M-SEARCH *", "AAAAAAAAAAAAAAAAAAAAAA /", "PRI * HTTP/2.0"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		decided := undecided
		for i := range len(in) + 1 {
			got := sniff(in[:i])
			if decided != undecided && got != decided {
				t.Fatalf("%q: %d after %d bytes, %d before", in, got, i, decided)
			}
			decided = got
		}
		if len(in) >= maxSniff && decided == undecided {
			t.Fatalf("%q: undecided after %d bytes", in, len(in))
		}
	})
}
