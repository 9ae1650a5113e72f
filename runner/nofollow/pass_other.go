//go:build !linux

package nofollow

// passOnly: other systems want to read what they pass through.
const passOnly = 0
