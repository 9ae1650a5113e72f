package console

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// socketName is the socket's, in the run's folder.
const socketName = "console"

// maxSocketPath is how long the kernel lets a socket's path be (sun_path has 108 bytes,
// and 104 on some systems, the ending zero among them).
const maxSocketPath = 103

// atSocket calls do with a path of the socket that the kernel takes. A home can lie
// deeper than that: then the path goes through the open folder, which has a short name
// in /proc.
func atSocket(dir string, do func(path string) error) error {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		return do(path)
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the path %s is too long for a socket", path)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return do("/proc/self/fd/" + strconv.Itoa(int(folder.Fd())) + "/" + socketName)
}

// listen makes the socket. Its folder is this user's alone, and so is the socket: mode
// 0600 from the first moment on, since nobody else can enter the folder meanwhile.
func listen(dir string) (listener *net.UnixListener, err error) {
	err = atSocket(dir, func(path string) error {
		if listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
			return err
		}
		// It goes with the folder; the path may be another folder's by then.
		listener.SetUnlinkOnClose(false)
		if err := os.Chmod(path, 0o600); err != nil {
			return errors.Join(err, listener.Close())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listen for who attaches: %w", err)
	}
	return listener, nil
}

// dial connects to the socket of the run whose folder is dir.
func dial(dir string) (conn *net.UnixConn, err error) {
	err = atSocket(dir, func(path string) error {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	return conn, err
}
