package policy_test

import (
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func TestAllowanceSaysWhetherBytesAreRead(t *testing.T) {
	for in, want := range map[string]string{
		"a.test": "a.test:443", "A.test:80": "a.test:80",
		"tcp://db.test:5432": "tcp://db.test:5432", "tcp://DB.test.:5432": "tcp://db.test:5432", "tcp://[2001:DB8::1]:22": "tcp://[2001:db8::1]:22",
	} {
		target, raw, err := policy.ParseAllow(in)
		got := target.String()
		if raw {
			got = policy.RawFlag(target)
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

func TestRawAllowanceNamesOneHostAndOnePort(t *testing.T) {
	for in, want := range map[string]string{
		"tcp://db.test":                "it needs a port",
		"tcp://192.0.2.1":              "it needs a port",
		"tcp://[2001:db8::1]":          "it needs a port",
		"tcp://":                       "it needs a port",
		"tcp://:5432":                  "there is no host name",
		"tcp://db.test:0":              "the port is not a number",
		"tcp://db.test:5432/":          "the port is not a number",
		"tcp://*.test:5432":            "it is a wildcard",
		"tcp://*:5432":                 "it is a wildcard",
		"tcp://db.test:*":              "it is a wildcard",
		"tcp://tcp://db.test:5432":     "it is a URL",
		"TCP://db.test:5432":           "it is a URL",
		"udp://db.test:53":             "it is a URL",
		"tcp://user:pw@db.test:5432":   "refusing",
		"tcp://0x7f.1:5432":            "neither a name nor the usual spelling",
		"tcp://db.test:5432 tcp://b:1": "refusing",
	} {
		if target, raw, err := policy.ParseAllow(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, raw %v, %v, want %s", in, target, raw, err, want)
		}
	}
}

func TestRawTargetIsReachedUnread(t *testing.T) {
	db := policy.Target{Host: "db.test", Port: 5432}
	docs := policy.Target{Host: "docs.test", Port: 443}
	set, err := policy.Compile([]policy.Service{github}, []policy.Target{docs}, policy.Allow, db, github.Target())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target policy.Target
		raw    bool
		rule   string
	}{
		{db, true, "allow tcp://db.test:5432"},
		{docs, false, "allow docs.test:443"},
		// A service says more than an allowance.
		{github.Target(), false, "service github"},
		{policy.Target{Host: "db.test", Port: 443}, false, "unmatched allow"},
		{policy.Target{Host: "x.db.test", Port: 5432}, false, "unmatched allow"},
	} {
		if got := set.Reach(c.target); !got.Allow || got.Raw != c.raw || got.Rule != c.rule {
			t.Errorf("%v: %+v", c.target, got)
		}
	}
}

func TestRawTargetThatContradictsIsRefused(t *testing.T) {
	db := policy.Target{Host: "db.test", Port: 5432}
	for name, c := range map[string]struct {
		allow, raw []policy.Target
		want       string
	}{
		"read and unread":  {[]policy.Target{db}, []policy.Target{db}, "db.test:5432 is allowed with tcp:// and without"},
		"not canonical":    {nil, []policy.Target{{Host: "DB.test", Port: 5432}}, "canonical form"},
		"without a port":   {nil, []policy.Target{{Host: "db.test"}}, "port"},
		"twice the same":   {nil, []policy.Target{db, db}, ""},
		"beside its other": {[]policy.Target{{Host: "db.test", Port: 443}}, []policy.Target{db}, ""},
	} {
		_, err := policy.Compile(nil, c.allow, policy.Deny, c.raw...)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
