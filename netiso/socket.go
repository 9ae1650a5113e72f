package netiso

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// socketFile is the relay's socket in the run's folder.
const socketFile = "relay.sock"

// ListenSocket opens the relay of a box without a link: a socket in the run's folder, into
// which nobody else of the host may look, and gives its path. The gate's user in its
// container is nobody on the host, so that the file itself is anybody's: to be let in by
// the proxy takes the run's certificate.
func ListenSocket(dir string) (net.Listener, string, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, "", fmt.Errorf("open the run's folder: %w", err)
	}
	defer folder.Close()
	// A socket's address holds 107 characters, and a home may lie deeper than that.
	short := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), socketFile)
	listener, err := net.Listen("unix", short)
	if err != nil {
		return nil, "", fmt.Errorf("listen in the run's folder: %w", err)
	}
	// It goes with the folder; by then the short name may lead somewhere else.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	path := filepath.Join(dir, socketFile)
	if err := os.Chmod(path, 0o666); err != nil {
		listener.Close()
		return nil, "", fmt.Errorf("open the relay's socket to the gate: %w", err)
	}
	return listener, path, nil
}
