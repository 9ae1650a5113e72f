//go:build !linux

package firewall

import "errors"

// OpenHost fails: only Linux has these tables.
func OpenHost() (Host, error) { return Host{}, errors.New("host walls need Linux") }
