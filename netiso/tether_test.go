package netiso

import (
	"testing"

	"github.com/av-project/av/netiso/engine"
)

func TestOnlyTheGateOnAnotherNetworkIsForeign(t *testing.T) {
	for _, c := range []struct {
		name string
		c    engine.Connection
		want bool
	}{
		{"the gate on its own network", engine.Connection{Network: "own", Container: "gate"}, false},
		{"the gate on another", engine.Connection{Network: "other", Container: "gate"}, true},
		{"another container on another network", engine.Connection{Network: "other", Container: "else"}, false},
		{"another container on the run's network", engine.Connection{Network: "own", Container: "else"}, false},
	} {
		if got := foreign(c.c, "own", "gate"); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}
