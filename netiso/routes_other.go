//go:build !linux

package netiso

import "net/netip"

// hostRoutes knows nothing here: the engine's bridges lie in a virtual machine with
// routes of its own.
func hostRoutes() ([]netip.Prefix, error) { return nil, nil }
