//go:build !linux

package firewall

// OpenHost fails: only Linux has these tables.
func OpenHost() (Host, error) { return Host{}, ErrNotAllowed }
