//go:build !linux

package console

import "net"

// checkPeer leaves it to the mode of the run's folder and socket.
func checkPeer(*net.UnixConn) error { return nil }
