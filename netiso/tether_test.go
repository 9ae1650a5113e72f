package netiso

import (
	"testing"

	"github.com/av-project/av/netiso/engine"
)

func TestOnlyTheGateOnAnotherNetworkIsForeign(t *testing.T) {
	own := &Network{id: "own"}
	for _, c := range []struct {
		name string
		own  *Network
		c    engine.Connection
		want bool
	}{
		{"the gate on its own network", own, engine.Connection{Network: "own", Container: "gate"}, false},
		{"the gate on another", own, engine.Connection{Network: "other", Container: "gate"}, true},
		{"another container on another network", own, engine.Connection{Network: "other", Container: "else"}, false},
		{"another container on the run's network", own, engine.Connection{Network: "own", Container: "else"}, false},
		{"the gate on none, where it belongs", nil, engine.Connection{Network: "id", Name: "none", Container: "gate"}, false},
		{"the gate on one, where it belongs on none", nil, engine.Connection{Network: "id", Name: "bridge", Container: "gate"}, true},
		{"the gate on none, where it belongs on its own", own, engine.Connection{Network: "id", Name: "none", Container: "gate"}, true},
	} {
		if got := foreign(c.c, c.own, "gate"); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}
