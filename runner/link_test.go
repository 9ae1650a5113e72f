package runner

import "testing"

func TestBoxHasNoLinkUnlessSomethingWantsOne(t *testing.T) {
	for _, c := range []struct {
		relay    Relay
		walls    HostWalls
		confined bool
		want     Relay
	}{
		{RelayAuto, WallsAuto, false, RelaySocket},
		{RelayAuto, WallsOff, false, RelaySocket},
		{RelayAuto, WallsRequire, false, RelayBridge},
		{RelayAuto, WallsAuto, true, RelayBridge},
		{RelaySocket, WallsAuto, true, RelaySocket},
		{RelayBridge, WallsOff, false, RelayBridge},
	} {
		if got := c.relay.choose(c.walls, c.confined); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
