package netiso

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestPoolIsAPrivateRangeWithRoomForARun(t *testing.T) {
	for given, want := range map[string]string{
		"":                 DefaultPool.String(),
		"10.83.0.0/16":     "10.83.0.0/16",
		"10.0.0.0/8":       "10.0.0.0/8",
		"172.16.0.0/12":    "172.16.0.0/12",
		"192.168.7.240/28": "192.168.7.240/28",
	} {
		if got, err := ParsePool(given); err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v", given, got, err)
		}
	}
	for given, why := range map[string]string{
		"10.83.0.0":           "is no range of addresses",
		"ten/8":               "is no range of addresses",
		"10.83.0.0/33":        "is no range of addresses",
		"fd00::/64":           "is not IPv4",
		"::ffff:10.0.0.0/104": "is not IPv4",
		"10.83.0.1/16":        "is 10.83.0.0/16 meant",
		"10.83.0.0/29":        "has no room",
		"203.0.113.0/24":      "private range",
		"10.0.0.0/7":          "private range",
		"0.0.0.0/0":           "private range",
		"172.32.0.0/16":       "private range",
		"169.254.0.0/16":      "private range",
		"127.0.0.0/8":         "private range",
		"100.64.0.0/16":       "private range",
		"192.0.0.0/8":         "private range",
	} {
		_, err := ParsePool(given)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want %q", given, err, why)
		}
		if h, ok := errors.AsType[*badPool](err); ok && h.Hint() == "" {
			t.Errorf("%q: no hint", given)
		}
	}
}

// OpenVPN and WireGuard replace the default route by its two halves.
func TestRouteThatLeadsEverywhereTakesNoSubnet(t *testing.T) {
	everywhere := prefixes("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/2")
	if got, ok := freeSubnet(DefaultPool, routed(everywhere), 0); !ok {
		t.Errorf("no subnet is free beside %v: %v", everywhere, got)
	}
	// Control: a VPN into a private range does take what it leads to.
	if got, ok := freeSubnet(DefaultPool, routed(prefixes("10.0.0.0/8")), 0); ok {
		t.Errorf("%v lies where a VPN leads", got)
	}
}

func TestSubnetIsFoundInAPoolOfAnySize(t *testing.T) {
	for _, c := range []struct{ pool, want string }{
		{"10.83.7.16/28", "10.83.7.16/28"},
		{"192.168.0.0/16", "192.168.0.0/28"},
		{"10.0.0.0/8", "10.0.0.0/28"},
	} {
		got, ok := freeSubnet(netip.MustParsePrefix(c.pool), nil, 0)
		if !ok || got.String() != c.want {
			t.Errorf("%s: got %v", c.pool, got)
		}
	}
}
