package egress

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRangesAreReadStrictly(t *testing.T) {
	for _, list := range []string{
		"10.0.0.0/8", "10.1.0.0/16,fd00::/8", " 192.168.1.0/24 , 172.16.0.0/12 ", "10.1.2.3/32", "fc00::/7", "fd12::1/128", "100.64.0.0/10",
		"127.0.0.0/8", "::1/128", "169.254.0.0/16", "203.0.113.0/24", "2001:db8::/32", "198.18.0.0/15", "240.0.0.0/4", "64:ff9b:1::/48",
	} {
		ranges, err := ParseRanges(list)
		if err != nil || len(ranges) != strings.Count(list, ",")+1 {
			t.Errorf("%q: %v %v", list, ranges, err)
		}
	}
	for list, want := range map[string]string{
		"":                      "is not a range",
		"10.0.0.0/8,":           "is not a range",
		"10.0.0.1":              "is not a range",
		"10.0.0.0/33":           "is not a range",
		"10.0.0.0/08":           "is not a range",
		"10/8":                  "is not a range",
		"corp.example":          "is not a range",
		"*":                     "is not a range",
		"fe80::1%eth0/64":       "is not a range",
		"10.0.0.0/8 fd00::/8":   "is not a range",
		"10.1.0.5/16":           "begins at 10.1.0.0",
		"::ffff:10.0.0.0/104":   "IPv4 written as IPv6",
		"0.0.0.0/0":             "wider than one kind",
		"0.0.0.0/1":             "wider than one kind",
		"128.0.0.0/1":           "wider than one kind",
		"8.0.0.0/6":             "wider than one kind",
		"192.0.0.0/8":           "wider than one kind",
		"172.0.0.0/8":           "wider than one kind",
		"8.8.8.0/24":            "wider than one kind",
		"8.8.8.8/32":            "is public",
		"::/0":                  "wider than one kind",
		"::/1":                  "wider than one kind",
		"2000::/3":              "wider than one kind",
		"fc00::/6":              "wider than one kind",
		"e000::/3":              "wider than one kind",
		"64:ff9b::/96":          "wider than one kind",
		"0.0.0.0/8":             "unspecified address",
		"224.0.0.0/4":           "multicast address",
		"239.1.0.0/16":          "multicast address",
		"ff00::/8":              "multicast address",
		"::/96":                 "IPv4-compatible address",
		"::ffff:0:0:0/96":       "IPv4-translated address",
		"2002::/16":             "6to4 address",
		"2001::/32":             "Teredo address",
		"169.254.169.254/32":    reasonMetadata,
		"fd00:ec2::254/128":     reasonMetadata,
		"10.0.0.0/8,0.0.0.0/00": "is not a range",
	} {
		ranges, err := ParseRanges(list)
		if err == nil {
			t.Errorf("%q was taken: %v", list, ranges)
			continue
		}
		if !strings.Contains(err.Error(), want) || err.(*problem).Hint() == "" {
			t.Errorf("%q: %v, want %s", list, err, want)
		}
	}
}

func TestAllowedRangesAreDialledForAnyHost(t *testing.T) {
	ranges, err := ParseRanges("10.1.0.0/16,fd00::/8,127.0.0.0/8,169.254.0.0/16,100.64.0.0/10,64:ff9b:1::/48")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{answers: map[string][]string{
		"inside.test.": {"10.1.2.3 8.8.8.8"}, "half.test.": {"10.1.2.3 10.2.0.1"}, "cloud.test.": {"10.1.2.3 169.254.169.254"},
	}}
	d := &wires{delay: map[string]time.Duration{}}
	for _, address := range []string{"10.1.2.3:443", "[fd12::1]:443", "127.0.0.1:443", "[64:ff9b::a01:203]:443", "[64:ff9b:1::8.8.8.8]:443", "169.254.1.1:443"} {
		d.delay[netip.MustParseAddrPort(address).String()] = 0
	}
	g := New(n, d, Allow(ranges))
	for _, host := range []string{"inside.test", "10.1.2.3", "fd12::1", "127.0.0.1", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "64:ff9b:1::8.8.8.8", "169.254.1.1"} {
		conn, err := g.Dial(t.Context(), host, 443, netip.AddrPort{})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		conn.Close()
		if _, err := New(n, d).Dial(t.Context(), host, 443, netip.AddrPort{}); !isRefusal(err) {
			t.Errorf("control: %s without the list: %v", host, err)
		}
	}
	d.dialed = nil
	for host, reason := range map[string]string{
		"half.test": "private address", "10.2.0.1": "private address", "::1": "loopback address", "fe80::1": "link-local address",
		"cloud.test": reasonMetadata, "169.254.169.254": reasonMetadata, "100.100.100.200": reasonMetadata, "fd00:ec2::254": reasonMetadata,
		"::ffff:169.254.169.254": reasonMetadata, "64:ff9b::169.254.169.254": reasonMetadata, "64:ff9b:1::169.254.169.254": reasonMetadata,
		"fd00::5efe:a9fe:a9fe": reasonMetadata, "fd00:64::169.254.169.254": reasonMetadata, "::10.1.2.3": "IPv4-compatible address",
		"2002:a01:203::1": "6to4 address", "fd12::1%eth0": "address with a zone",
	} {
		if _, err := g.Dial(t.Context(), host, 443, netip.AddrPort{}); !isRefused(err, reason) {
			t.Errorf("%s: %v, want %s", host, err, reason)
		}
	}
	if !slices.Equal(d.dialed, nil) {
		t.Errorf("dialled %v", d.dialed)
	}
}

func TestFileOfAuthoritiesHoldsCertificatesAlone(t *testing.T) {
	_, one := selfSigned(t, "127.0.0.1")
	_, two := selfSigned(t, "a.test")
	for _, text := range []string{one, one + two, "# a comment\n" + one + "another\n" + two} {
		_ = pool(t, text)
	}
	key := strings.ReplaceAll(one, "CERTIFICATE", "PRIVATE KEY")
	for text, want := range map[string]string{
		"":             "there is no PEM certificate",
		"nonsense":     "there is no PEM certificate",
		one + key:      `there is a PEM block of type "PRIVATE KEY", want certificates alone`,
		one + one[:99]: "there is a PEM block that cannot be read",
		"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n" + one:    "there is a PEM block that cannot be read",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + one: "there is a certificate that cannot be read",
	} {
		if err := AddAuthorities(pool(t, two), []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}
