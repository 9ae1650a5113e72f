package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner/hostpath"
)

// checkWorkspace resolves the folder that goes into the box, and refuses one that
// would take along the vault, the engine's socket, a key, or a part of the host itself.
func checkWorkspace(dir string, host hostpath.Host) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", &badWorkspace{fmt.Sprintf("the workspace %s cannot be found: %v", dir, err)}
	}
	return real, host.Judge(hostpath.Workspace, real)
}

// boxUser is the user that the command runs as: whoever runs av, or for root the
// owner of the workspace, so that what the command makes there belongs to the one
// whose folder it is.
//
// To the containers of an engine without root that user is root.
func boxUser(workspace string, rootless bool) (uid, gid int, err error) {
	uid, gid = os.Getuid(), os.Getgid()
	if rootless {
		return 0, 0, nil
	}
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
