package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/av-project/av/runner"
)

// relayVariable is the default of --relay.
const relayVariable = "AV_RELAY"

// linkFlags say how a box is joined to its proxy, and what walls that has on the host.
type linkFlags struct{ relay, hostWalls string }

var (
	relays    = map[string]runner.Relay{"auto": runner.RelayAuto, "socket": runner.RelaySocket, "bridge": runner.RelayBridge}
	hostWalls = map[string]runner.HostWalls{"auto": runner.WallsAuto, "require": runner.WallsRequire, "off": runner.WallsOff}
)

func (f *linkFlags) add(flags *pflag.FlagSet, relay string) {
	if relay == "" {
		relay = "auto"
	}
	flags.StringVar(&f.relay, "relay", relay, "the way from the box to av: `auto`, socket (the box is on no network) or bridge (on one of its own); default from "+relayVariable)
	flags.StringVar(&f.hostWalls, "host-walls", "auto", "walls on the host, for a box on a network: `auto` (where they can be had), require or off")
}

func (f linkFlags) check(isolation string) error {
	if _, known := relays[f.relay]; !known {
		return withHint(fmt.Errorf("unknown choice %q for --relay", f.relay), "use --relay=auto, socket or bridge")
	}
	if _, known := hostWalls[f.hostWalls]; !known {
		return withHint(fmt.Errorf("unknown choice %q for --host-walls", f.hostWalls), "use --host-walls=auto, require or off")
	}
	switch {
	case f.hostWalls != "require":
	case isolation == "host":
		return withHint(errors.New("--host-walls=require needs a container"), "add --isolation=container")
	case f.relay == "socket":
		return withHint(errors.New("--host-walls=require needs a box that is on a network"), "a box with --relay=socket has no link that the host could wall: leave one of the two out")
	}
	return nil
}
