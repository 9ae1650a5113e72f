package policy_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func hostService(name, address string) policy.HostService {
	return policy.HostService{Name: name, Address: netip.MustParseAddrPort(address)}
}

func TestHostServiceIsNamedByOneLabelAndOneEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"pg=127.0.0.1:5432": "pg 127.0.0.1:5432", "PG=LocalHost:5432": "pg localhost:5432", "my-db_2=db.corp.test.:1": "my-db_2 db.corp.test:1",
		"six=[::1]:80": "six [::1]:80", "mapped=[::ffff:127.0.0.1]:80": "mapped 127.0.0.1:80", "5432=10.0.0.1:1": "5432 10.0.0.1:1",
	} {
		if name, at, err := policy.ParseHostService(in); err != nil || name+" "+at.String() != want {
			t.Errorf("%s: %s %s, %v", in, name, at, err)
		}
	}
	for in, want := range map[string]string{
		"": "it has no =", "pg": "it has no =", "127.0.0.1:5432": "it has no =", "=127.0.0.1:1": "one part of a host's name",
		"a.b=127.0.0.1:1": "one part", "pg.=127.0.0.1:1": "one part", "*=127.0.0.1:1": "one part", "-a=127.0.0.1:1": "one part",
		"pg:1=127.0.0.1:1": "one part", "a b=127.0.0.1:1": "one part", "a/b=127.0.0.1:1": "one part", "[::1]=127.0.0.1:1": "one part",
		"xn--a=127.0.0.1:1": "one part", strings.Repeat("a", 64) + "=127.0.0.1:1": "one part",
		"pg=": "it needs a port", "pg=127.0.0.1": "it needs a port", "pg=::1": "it needs a port", "pg=db:0": "the port", "pg=*:1": "wildcard",
		"pg=127.1:80": "IPv4", "pg=0x7f000001:80": "IPv4", "pg=[fe80::1%eth0]:80": "zone", "pg=tcp://db:80": "URL", "pg=u@db:80": "refusing",
		"pg=a=b:80": "refusing",
	} {
		if name, at, err := policy.ParseHostService(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s %s, %v, want %s", in, name, at, err, want)
		}
	}
}

func TestHostServiceIsReachedUnreadAtItsAddressAndNothingElseIs(t *testing.T) {
	for _, unmatched := range []policy.Unmatched{policy.Deny, policy.Allow} {
		set, err := policy.Open{Unmatched: unmatched, Host: []policy.HostService{
			hostService("pg", "127.0.0.1:5432"), hostService("pg", "127.0.0.1:5433"), hostService("six", "[::1]:80"),
		}}.Compile([]policy.Service{github})
		if err != nil {
			t.Fatal(err)
		}
		for target, address := range map[policy.Target]string{
			{Host: "pg.host", Port: 5432}: "127.0.0.1:5432", {Host: "pg.host", Port: 5433}: "127.0.0.1:5433", {Host: "six.host", Port: 80}: "[::1]:80",
		} {
			for _, v := range []policy.Verdict{set.Reach(target), set.Decide(target, "GET", "/")} {
				if !v.Allow || !v.Raw || v.Service != nil || v.Dial().String() != address || !strings.HasPrefix(v.Rule, "host-service ") {
					t.Errorf("%s: %+v", target, v)
				}
			}
		}
		for target, hint := range map[policy.Target]string{
			{Host: "pg.host", Port: 443}: "av run --host-service pg=HOST:443 ...", {Host: "db.host", Port: 5432}: "av run --host-service db=HOST:5432 ...",
			{Host: "x.pg.host", Port: 5432}: "", {Host: "host", Port: 5432}: "",
		} {
			if v := set.Reach(target); v.Allow || v.Hint != hint || v.Dial().IsValid() || v.Rule != policy.RuleUnmatchedDeny {
				t.Errorf("%s: %+v", target, v)
			}
		}
		// Control: names that only look alike are of the world.
		for _, host := range []string{"pghost", "pg.host.test", "host.test", "127.0.0.1"} {
			if v := set.Reach(policy.Target{Host: host, Port: 5432}); v.Allow != (unmatched == policy.Allow) || v.Raw || v.Dial().IsValid() {
				t.Errorf("%s: %+v", host, v)
			}
		}
		if hosts := slices.Collect(set.ExactHosts()); !slices.Equal(hosts, []string{github.Host}) {
			t.Errorf("read are %v", hosts)
		}
	}
}

func TestNameOfAHostServiceIsNobodyElses(t *testing.T) {
	pg := policy.Target{Host: "pg.host", Port: 5432}
	service := policy.Service{Name: "pg", Host: "pg.host", Auth: policy.Auth{Type: policy.Passthrough}}
	wild := policy.Service{Name: "pg", Host: "*.pg.host", Auth: policy.Auth{Type: policy.Passthrough}}
	for name, compile := range map[string]func() (*policy.Set, error){
		"--allow":          func() (*policy.Set, error) { return policy.Compile(nil, []policy.Target{pg}, policy.Deny) },
		"--allow tcp://":   func() (*policy.Set, error) { return policy.Compile(nil, nil, policy.Deny, pg) },
		"a service":        func() (*policy.Set, error) { return policy.Compile([]policy.Service{service}, nil, policy.Deny) },
		"a wildcard":       func() (*policy.Set, error) { return policy.Compile([]policy.Service{wild}, nil, policy.Deny) },
		"an allowance":     func() (*policy.Set, error) { _, _, err := policy.ParseAllow("pg.host:5432"); return nil, err },
		"an unread one":    func() (*policy.Set, error) { _, _, err := policy.ParseAllow("tcp://PG.Host.:5432"); return nil, err },
		"a services file":  func() (*policy.Set, error) { return nil, parsed("pg.host") },
		"a file's domain":  func() (*policy.Set, error) { return nil, parsed(`"*.host"`) },
		"a file's tenants": func() (*policy.Set, error) { return nil, parsed(`"*.pg.host:5432"`) },
	} {
		if _, err := compile(); err == nil || !strings.Contains(err.Error(), "names in .host are those of host services") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := parsed("pg.host.test"); err != nil {
		t.Errorf("control: %v", err)
	}
}

func parsed(host string) error {
	_, err := policy.Parse("s.yaml", []byte("services:\n  - {host: "+host+", auth: {type: passthrough}}\n"), nil)
	return err
}

func TestHostServiceThatNobodyCanGrantIsRefused(t *testing.T) {
	for _, h := range []policy.HostService{
		hostService("pg", "169.254.169.254:80"), hostService("pg", "[fd00:ec2::254]:80"), hostService("pg", "[::ffff:169.254.169.254]:80"),
		hostService("pg", "0.0.0.0:80"), hostService("pg", "[::]:80"), hostService("pg", "224.0.0.1:80"), hostService("pg", "127.0.0.1:0"),
		hostService("pg", "[fe80::1%eth0]:80"), hostService("pg", "[::ffff:127.0.0.1]:80"), {Name: "pg"},
		hostService("a.b", "127.0.0.1:80"), hostService("", "127.0.0.1:80"), hostService("PG", "127.0.0.1:80"), hostService("p g", "127.0.0.1:80"),
	} {
		if _, err := (policy.Open{Host: []policy.HostService{h}}).Compile(nil); err == nil {
			t.Errorf("%+v is granted", h)
		}
	}
	pg := hostService("pg", "127.0.0.1:5432")
	if _, err := (policy.Open{Host: []policy.HostService{pg, hostService("pg", "10.0.0.1:5432")}}).Compile(nil); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("one name for two: %v", err)
	}
	if _, err := (policy.Open{Host: []policy.HostService{pg}}).Compile(nil); err != nil {
		t.Errorf("control: %v", err)
	}
}
