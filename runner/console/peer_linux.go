package console

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// checkPeer refuses a client of another user. The folder's mode keeps them out already;
// this holds where somebody has loosened it.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("ask who is attaching: %w", err)
	}
	if int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not attach to a run of user %d", peer.Uid, os.Geteuid())
	}
	return nil
}
