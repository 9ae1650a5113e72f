//go:build !linux

package firewall

import "context"

// OpenHost fails: only Linux has these tables.
func OpenHost() (Host, error) { return Host{}, ErrNotAllowed }

// MayChange fails likewise.
func MayChange() error { return ErrNotAllowed }

// ReadNamespace fails: only Linux has these tables.
func (p Plan) ReadNamespace(ctx context.Context, path, backend, version string) (Refused, error) {
	return Refused{}, ErrNotAllowed
}
