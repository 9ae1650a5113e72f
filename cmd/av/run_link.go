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
type linkFlags struct {
	relay, hostWalls string
	noFirewall       bool
}

var (
	relays    = map[string]runner.Relay{"auto": runner.RelayAuto, "socket": runner.RelaySocket, "bridge": runner.RelayBridge, "stream": runner.RelayStream}
	hostWalls = map[string]runner.HostWalls{"auto": runner.WallsAuto, "require": runner.WallsRequire, "off": runner.WallsOff}
)

func (f *linkFlags) add(flags *pflag.FlagSet, relay string) {
	if relay == "" {
		relay = "auto"
	}
	flags.StringVar(&f.relay, "relay", relay, "the way from the box to av: `auto`, socket or stream (the box is on no network), or bridge (on one of its own); default from "+relayVariable)
	flags.BoolVar(&f.noFirewall, "no-firewall", false, "for looking for faults: no walls at all, and an ordinary network; the command reaches whatever the host does")
	flags.StringVar(&f.hostWalls, "host-walls", "auto", "walls on the host, for a box on a network: `auto` (where they can be had), require or off")
}

func (f linkFlags) check(isolation string) error {
	if _, known := relays[f.relay]; !known {
		return withHint(fmt.Errorf("unknown choice %q for --relay", f.relay), "use --relay=auto, socket, stream or bridge")
	}
	if _, known := hostWalls[f.hostWalls]; !known {
		return withHint(fmt.Errorf("unknown choice %q for --host-walls", f.hostWalls), "use --host-walls=auto, require or off")
	}
	if f.noFirewall {
		switch {
		case isolation == "host":
			return withHint(errors.New("--no-firewall needs a container"), "add --isolation=container, or leave it out: on the host there are no walls")
		case f.hostWalls == "require":
			return withHint(errors.New("--no-firewall and --host-walls=require exclude each other"), "leave one of the two out")
		case f.relay == "socket", f.relay == "stream":
			return withHint(fmt.Errorf("--no-firewall puts the box on a network, and with --relay=%s it is on none", f.relay), "leave one of the two out")
		}
	}
	switch {
	case f.hostWalls != "require":
	case isolation == "host":
		return withHint(errors.New("--host-walls=require needs a container"), "add --isolation=container")
	case f.relay == "socket", f.relay == "stream":
		return withHint(errors.New("--host-walls=require needs a box that is on a network"), "a box with --relay=socket or stream has no link that the host could wall: leave one of the two out")
	}
	return nil
}

// noWallsBanner is printed before and after a run without walls, even one that is quiet.
const noWallsBanner = `
  ******************************************************************
  **  NO FIREWALL: nothing holds this command back. It reaches    **
  **  whatever this machine does, and can send anything anywhere. **
  **  For looking for faults only: never with code you distrust.  **
  ******************************************************************
`

func (f linkFlags) banner(e *env) {
	if f.noFirewall {
		fmt.Fprint(e.stderr, noWallsBanner)
	}
}
