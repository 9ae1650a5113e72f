package egress

import "time"

const (
	// resolveTimeout bounds one look-up.
	resolveTimeout = 10 * time.Second
	// dialTimeout bounds all attempts for one connection together.
	dialTimeout = 15 * time.Second
	// headStart is how long one address is tried alone (RFC 8305's 250 ms).
	headStart = 250 * time.Millisecond
	// maxAttempts is how many of a name's addresses are tried. All are judged.
	maxAttempts = 8
)
