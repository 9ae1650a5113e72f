//go:build !linux

package main

// scrub does nothing here: there is no /proc to write to. On macOS, `ps -E` of the same
// user may go on showing what the process was started with: there, --password-file or
// the keyring is the better way.
func scrub(string) error { return nil }
