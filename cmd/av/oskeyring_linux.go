package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// reachable looks for a session bus before the keyring does: where there is none, as on
// a server, the library would start one with dbus-launch, which outlives this process.
func reachable() error {
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" && address != "autolaunch:" {
		return nil
	}
	dir := filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	for _, name := range []string{"bus", "dbus-session"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil
		}
	}
	return keyringError(errors.New("there is no D-Bus session to reach it by"))
}
