package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/av-project/av/netiso"
)

// hostsOwn are the folders by which a machine is run. What lies in them gives power
// over the host to whoever can write it, or speak to the sockets in it.
var hostsOwn = []string{
	"/proc", "/sys", "/dev", "/run", "/boot", "/etc", "/bin", "/sbin", "/lib", "/usr/bin", "/usr/sbin", "/usr/lib",
	"/var/run", "/var/lib/docker", "/var/lib/containerd",
}

// checkWorkspace resolves the folder that goes into the box, and refuses one that
// would take along the vault, the engine's socket, or a part of the host itself.
func checkWorkspace(dir, home, engineHost string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", &badWorkspace{fmt.Sprintf("the workspace %s cannot be found: %v", dir, err)}
	}
	if real == "/" {
		return "", &badWorkspace{"the workspace is the whole file system"}
	}
	if meets(real, home) {
		return "", &badWorkspace{fmt.Sprintf("the workspace %s would put av's own folder %s, with the vault, into the box", real, home)}
	}
	if socket, ok := strings.CutPrefix(engineHost, "unix://"); ok && meets(real, socket) {
		return "", &badWorkspace{fmt.Sprintf("the workspace %s would put the Docker engine's socket %s into the box", real, socket)}
	}
	for _, own := range hostsOwn {
		if meets(real, own) {
			return "", &badWorkspace{fmt.Sprintf("the workspace %s would put %s of the host into the box", real, own)}
		}
	}
	return real, nil
}

// meets tells whether one of two paths lies in the other. The first is a real one.
func meets(real, other string) bool {
	if resolved, err := filepath.EvalSymlinks(other); err == nil {
		other = resolved
	}
	return within(other, real) || within(real, other)
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// boxUser is the user that the command runs as: whoever runs av, or for root the
// owner of the workspace, so that what the command makes there belongs to the one
// whose folder it is.
func boxUser(workspace string) (uid, gid int, err error) {
	uid, gid = os.Getuid(), os.Getgid()
	if uid == 0 {
		info, err := os.Stat(workspace)
		if err != nil {
			return 0, 0, fmt.Errorf("look at the workspace: %w", err)
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(stat.Uid), int(stat.Gid)
		}
	}
	if uid == netiso.GateUID {
		// The walls let the gate's user through to the relay.
		return 0, 0, &badWorkspace{fmt.Sprintf("the command would run as user %d, which is the gate's", uid)}
	}
	return uid, gid, nil
}

// badWorkspace is a folder that av does not put into a box.
type badWorkspace struct{ why string }

func (b *badWorkspace) Error() string { return b.why }
func (b *badWorkspace) Hint() string {
	return "run av from your project's own folder; AV_HOME must lie outside of it"
}
