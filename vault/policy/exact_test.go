package policy_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault/policy"
)

func TestExactHostsAreThoseWhoseRequestsAreRead(t *testing.T) {
	open := policy.Auth{Type: policy.Passthrough}
	target := func(host string, port uint16) policy.Target { return policy.Target{Host: host, Port: port} }
	set, err := policy.Compile([]policy.Service{
		{Name: "b", Host: "b.test", Auth: open},
		{Name: "b2", Host: "b.test", Path: "/x", Auth: open},
		{Name: "off", Host: "off.test", Auth: open, Disabled: true},
		{Name: "wild", Host: "*.wild.test", Auth: open},
		{Name: "pinned", Host: "pinned.test", Auth: open, TLS: policy.TLSPassthrough},
		{Name: "pinnedwild", Host: "*.pins.test", Auth: open, TLS: policy.TLSPassthrough},
		{Name: "a", Host: "a.test", Port: 8443, Auth: open},
		{Name: "address", Host: "192.0.2.1", Auth: open},
	}, []policy.Target{
		target("z.test", 443), target("b.test", 8443), target("c.test", 443), target("c.test", 80),
		target("pinned.test", 443), target("one.wild.test", 443), target("one.pins.test", 443),
	}, policy.Deny, target("raw.test", 22))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"b.test", "a.test", "192.0.2.1", "c.test", "one.wild.test", "z.test"}
	if diff := cmp.Diff(want, slices.Collect(set.ExactHosts())); diff != "" {
		t.Error(diff)
	}
	for host := range set.ExactHosts() {
		if host != "b.test" {
			t.Errorf("it goes on after its caller has enough: %s", host)
		}
		break
	}
}
