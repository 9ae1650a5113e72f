package egress

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func TestOnlyPublicAddressesMayBeDialled(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		// Positive controls: ordinary hosts, and the last address before and the
		// first after each range that people get wrong.
		{"1.1.1.1", ""}, {"8.8.8.8", ""}, {"140.82.121.4", ""},
		{"9.255.255.255", ""}, {"11.0.0.0", ""},
		{"100.63.255.255", ""}, {"100.128.0.0", ""},
		{"126.255.255.255", ""}, {"128.0.0.0", ""},
		{"169.253.255.255", ""}, {"169.255.0.0", ""},
		{"172.15.255.255", ""}, {"172.32.0.0", ""},
		{"192.0.1.0", ""}, {"192.0.3.0", ""},
		{"192.167.255.255", ""}, {"192.169.0.0", ""},
		{"198.17.255.255", ""}, {"198.20.0.0", ""},
		{"223.255.255.255", ""},
		{"2606:4700:4700::1111", ""}, {"2a00:1450:4001::8a", ""}, {"2001:4860:4860::8888", ""}, {"2001:200::1", ""},
		{"::ffff:8.8.8.8", ""},   // mapped: the kernel dials 8.8.8.8
		{"64:ff9b::8.8.8.8", ""}, // NAT64 of a public address

		{"0.0.0.0", "unspecified address"}, {"0.1.2.3", "unspecified address"},
		{"10.0.0.0", "private address"}, {"10.255.255.255", "private address"},
		{"172.16.0.1", "private address"}, {"172.31.255.255", "private address"},
		{"192.168.1.1", "private address"},
		{"127.0.0.1", "loopback address"}, {"127.255.255.255", "loopback address"},
		{"169.254.0.1", "link-local address"},
		{"100.64.0.0", "carrier-grade NAT address"}, {"100.127.255.255", "carrier-grade NAT address"},
		{"192.0.0.8", "reserved address"}, {"192.88.99.1", "reserved address"},
		{"192.0.2.1", "documentation address"}, {"198.51.100.1", "documentation address"}, {"203.0.113.1", "documentation address"},
		{"198.18.0.1", "benchmarking address"}, {"198.19.255.255", "benchmarking address"},
		{"224.0.0.1", "multicast address"}, {"239.255.255.255", "multicast address"},
		{"240.0.0.1", "reserved address"}, {"255.255.255.255", "reserved address"},

		{"169.254.169.254", reasonMetadata}, {"169.254.170.2", reasonMetadata}, {"169.254.170.23", reasonMetadata},
		{"168.63.129.16", reasonMetadata}, {"100.100.100.200", reasonMetadata}, {"192.0.0.192", reasonMetadata},
		{"fd00:ec2::254", reasonMetadata}, {"fd20:ce::254", reasonMetadata},

		{"::", "unspecified address"}, {"::1", "loopback address"},
		{"fe80::1", "link-local address"}, {"fe80::1%eth0", "address with a zone"}, {"2606:4700::1%eth0", "address with a zone"},
		{"fc00::1", "private address"}, {"fd12:3456::1", "private address"}, {"fec0::1", "site-local address"},
		{"ff02::1", "multicast address"},
		{"2001:db8::1", "documentation address"}, {"3fff::1", "documentation address"},
		{"2001:2::1", "benchmarking address"}, {"2001:10::1", "ORCHID"}, {"2001:20::1", "ORCHID"}, {"2001:30::1", "drone identifier"},
		{"100::1", "discard-only address"}, {"5f00::1", "segment identifier"}, {"4000::1", "reserved address"}, {"64:ff9a::1", "reserved address"},

		// An IPv4 address in every IPv6 disguise.
		{"::ffff:10.0.0.1", "private address"}, {"::ffff:127.0.0.1", "loopback address"},
		{"::ffff:169.254.169.254", reasonMetadata}, {"::ffff:0.0.0.0", "unspecified address"},
		{"64:ff9b::10.0.0.1", "private address"}, {"64:ff9b::127.0.0.1", "loopback address"},
		{"64:ff9b::169.254.169.254", reasonMetadata}, {"64:ff9b::a9fe:1", "link-local address"},
		{"64:ff9b:1::8.8.8.8", "local NAT64 address"}, {"64:ff9b:1::10.0.0.1", "local NAT64 address"},
		{"64:ff9b:1:a9fe:a9:fe00::", reasonMetadata},
		{"64:ff9b:1::169.254.169.254", reasonMetadata},
		{"::8.8.8.8", "IPv4-compatible address"}, {"::127.0.0.1", "IPv4-compatible address"}, {"::169.254.169.254", reasonMetadata},
		{"2002:808:808::1", "6to4 address"}, {"2002:7f00:1::1", "6to4 address"}, {"2002:a9fe:a9fe::1", reasonMetadata},
		{"2001:0:808:808::f7f7:f7f7", "Teredo address"},
		{"2001:0:a9fe:a9fe::1", reasonMetadata},       // as the Teredo server
		{"2001:0:808:808::5601:5601", reasonMetadata}, // as the Teredo client, bits flipped
		{"::ffff:0:8.8.8.8", "IPv4-translated address"}, {"::ffff:0:169.254.169.254", reasonMetadata},
		{"2606:4700::5efe:a00:1", "ISATAP address"}, {"2606:4700::200:5efe:808:808", "ISATAP address"},
		{"2606:4700::5efe:a9fe:a9fe", reasonMetadata},
		{"2606:4700:64::169.254.169.254", reasonMetadata},                  // NAT64 under a network's own prefix
		{"2606:4700::100:5efe:808:808", ""}, {"2606:4700:64::8.8.8.8", ""}, // controls
	} {
		if got := judge(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s: %q, want %q", c.addr, got, c.want)
		}
	}
	if judge(netip.Addr{}) == "" {
		t.Error("no address at all may be dialled")
	}
}

func TestGrantCoversAllButMetadata(t *testing.T) {
	for _, c := range []struct{ grant, want string }{
		{"10.1.2.3:8443", ""}, {"127.0.0.1:9000", ""}, {"[::1]:9000", ""}, {"203.0.113.10:443", ""},
		{"100.64.0.1:443", ""}, {"169.254.1.1:80", ""}, {"[fe80::1%eth0]:443", ""}, {"8.8.8.8:443", ""},
		{"10.1.2.3:0", "no port"},
		{"0.0.0.0:443", "unspecified address"}, {"[::]:443", "unspecified address"}, {"[::ffff:0.0.0.0]:443", "unspecified address"},
		{"224.0.0.1:443", "multicast address"}, {"[ff02::1]:443", "multicast address"},
		{"169.254.169.254:80", reasonMetadata},
		{"169.254.170.2:80", reasonMetadata},
		{"[::ffff:169.254.169.254]:80", reasonMetadata},
		{"[::169.254.169.254]:80", reasonMetadata},
		{"[64:ff9b::169.254.169.254]:80", reasonMetadata},
		{"[64:ff9b:1::169.254.169.254]:80", reasonMetadata},
		{"[64:ff9b:1:a9fe:a9:fe00::]:80", reasonMetadata},
		{"[2002:a9fe:a9fe::1]:80", reasonMetadata},
		{"[2001:0:a9fe:a9fe::1]:80", reasonMetadata},
		{"[2001:0:808:808::5601:5601]:80", reasonMetadata},
		{"[::ffff:0:169.254.169.254]:80", reasonMetadata},
		{"[fd00::5efe:a9fe:a9fe]:80", reasonMetadata},
		{"[fd00:64::169.254.169.254]:80", reasonMetadata}, {"[fd00:64::10.1.2.3]:80", ""},
		{"[fd00:ec2::254]:80", reasonMetadata},
		{"[fd00:ec2::254%eth0]:80", reasonMetadata},
	} {
		if got := judgeGrant(netip.MustParseAddrPort(c.grant)); got != c.want {
			t.Errorf("%s: %q, want %q", c.grant, got, c.want)
		}
	}
}

// The services file has a list of its own, which must not fall behind.
func TestServicesFileGrantsNoMetadataAddress(t *testing.T) {
	parse := func(addr netip.Addr) error {
		file := fmt.Sprintf("services:\n  - name: a\n    host: a.test\n    auth: {type: passthrough}\n    upstream: {address: %q}\n", netip.AddrPortFrom(addr, 80))
		_, err := policy.Parse("f", []byte(file), nil)
		return err
	}
	for addr := range metadata {
		if err := parse(addr); err == nil || !strings.Contains(err.Error(), "5:25: ") || !strings.Contains(err.Error(), "metadata") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := parse(netip.MustParseAddr("169.254.169.253")); err != nil {
		t.Errorf("control: %v", err)
	}
}
