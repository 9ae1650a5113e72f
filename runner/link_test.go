package runner

import (
	"testing"

	"github.com/av-project/av/netiso/engine"
)

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
		if got, err := c.relay.choose(c.walls, c.confined, engine.Traits{}); got != c.want || err != nil {
			t.Errorf("%+v: got %v, %v", c, got, err)
		}
	}
}

func TestEngineOfAnotherMachineOrUserHasNoBridgeForUs(t *testing.T) {
	desktop, rootless := engine.Traits{Desktop: true}, engine.Traits{Rootless: true}
	for _, c := range []struct {
		relay    Relay
		walls    HostWalls
		confined bool
		traits   engine.Traits
		want     Relay
		refused  bool
	}{
		{RelayAuto, WallsAuto, false, desktop, RelayStream, false},
		{RelayAuto, WallsOff, false, rootless, RelaySocket, false},
		{RelayAuto, WallsAuto, true, rootless, RelayStream, false},
		{RelayStream, WallsAuto, false, rootless, RelayStream, false},
		{RelayStream, WallsAuto, false, engine.Traits{}, RelayStream, false},
		{RelayBridge, WallsAuto, false, desktop, 0, true},
		{RelayBridge, WallsAuto, false, rootless, 0, true},
		{RelayAuto, WallsRequire, false, rootless, 0, true},
	} {
		if got, err := c.relay.choose(c.walls, c.confined, c.traits); got != c.want || (err != nil) != c.refused {
			t.Errorf("%+v: got %v, %v", c, got, err)
		}
	}
}
