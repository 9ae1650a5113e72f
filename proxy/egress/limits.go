package egress

import "time"

const (
	// resolveTimeout bounds one look-up.
	resolveTimeout = 10 * time.Second
	// dialTimeout bounds all attempts for one connection together.
	dialTimeout = 15 * time.Second
	// headStart is how long one address is tried alone (RFC 8305's 250 ms).
	headStart = 250 * time.Millisecond
	// proxyTimeout bounds all that it takes to be connected through a proxy.
	proxyTimeout = 30 * time.Second
	// localTimeout bounds a look-up whose answer is not needed: behind a proxy the
	// names of the internet may well be unknown.
	localTimeout = time.Second
	// maxProxyHead is how long a proxy's answer may be.
	maxProxyHead = 16 << 10
	// maxAttempts is how many of a name's addresses are tried. All are judged.
	maxAttempts = 8
)
