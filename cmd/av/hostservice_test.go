package main

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

// answers are what a resolver says.
type answers map[string][]netip.Addr

func (a answers) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("the look-up has no end")
	}
	if addrs, known := a[host]; known {
		return addrs, nil
	}
	return nil, errors.New("no such host")
}

func TestHostServiceIsPinnedToOneAddressThatWasJudged(t *testing.T) {
	addrs := func(list ...string) (out []netip.Addr) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	r := answers{
		"db.corp.test": addrs("10.1.2.3", "10.1.2.4"), "mapped.test": addrs("::ffff:10.1.2.3"), "none.test": {},
		"metadata.test": addrs("169.254.169.254"), "second.test": addrs("10.1.2.3", "169.254.169.254"), "zone.test": addrs("fe80::1%eth0"),
		"localhost": addrs("192.0.2.1"),
	}
	for flag, want := range map[string]string{
		"pg=127.0.0.1:5432": "pg.host:5432 is 127.0.0.1:5432", "pg=[::1]:80": "pg.host:80 is [::1]:80",
		// Whatever a resolver says of it.
		"pg=localhost:80":    "pg.host:80 is 127.0.0.1:80",
		"pg=db.corp.test:80": "pg.host:80 is 10.1.2.3:80", "pg=mapped.test:80": "pg.host:80 is 10.1.2.3:80",
	} {
		list, err := readHostServices([]string{flag})
		if err != nil {
			t.Fatal(err)
		}
		got, err := pinHostServices(t.Context(), list, r)
		if err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("%s: %v, %v", flag, got, err)
		}
	}
	for flag, want := range map[string]string{
		"pg=nowhere.test:80": "cannot be resolved", "pg=none.test:80": "cannot be resolved", "pg=169.254.169.254:80": "metadata service",
		"pg=metadata.test:80": "metadata service", "pg=second.test:80": "metadata service", "pg=zone.test:80": "zone", "pg=0.0.0.0:80": "not one host",
	} {
		list, err := readHostServices([]string{flag})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pinHostServices(t.Context(), list, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", flag, got, err)
		}
	}
	if _, err := readHostServices([]string{"a=127.0.0.1:1", "A=10.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("one name for two: %v", err)
	}
}

func TestLastLineNamesHostServices(t *testing.T) {
	one := policy.HostService{Name: "pg", Address: netip.MustParseAddrPort("127.0.0.1:5432")}
	if got := describeHostServices([]policy.HostService{one, one}); got != "; host services: pg.host:5432 is 127.0.0.1:5432, pg.host:5432 is 127.0.0.1:5432" {
		t.Error(got)
	}
	if got := describeHostServices(nil); got != "" {
		t.Error(got)
	}
}
