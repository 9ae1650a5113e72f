//go:build !linux

package engine

// seccompProfile is the engine's own default: Moby's is only to be had on Linux.
func seccompProfile(bool) (string, error) { return "", nil }
