package engine

import "testing"

func TestEngineThatIsNoRootOfThisMachineIsTold(t *testing.T) {
	for _, c := range []struct {
		name, system string
		options      []string
		want         Traits
	}{
		{"Debian's", "Debian GNU/Linux 12 (bookworm)", []string{"name=seccomp,profile=default"}, Traits{Desktop: elsewhere}},
		{"Docker Desktop", "Docker Desktop", nil, Traits{Desktop: true}},
		{"rootless", "Debian GNU/Linux 12 (bookworm)", []string{"name=seccomp,profile=default", "name=rootless"}, Traits{Desktop: elsewhere, Rootless: true}},
	} {
		if got := traits(c.system, c.options); got != c.want {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}
