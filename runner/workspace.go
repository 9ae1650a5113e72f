package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/av-project/av/netiso"
)

// CheckWorkspace resolves the folder that goes into the box, and refuses one that
// would take the vault along: av's home inside the workspace, or the workspace
// inside av's home.
func CheckWorkspace(dir, home string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("find the workspace: %w", err)
	}
	if real, err = filepath.Abs(real); err != nil {
		return "", fmt.Errorf("find the workspace: %w", err)
	}
	realHome, err := filepath.EvalSymlinks(home)
	if err != nil {
		return "", fmt.Errorf("find av's folder: %w", err)
	}
	if real == "/" {
		return "", &badWorkspace{"the workspace is the whole file system"}
	}
	if within(realHome, real) || within(real, realHome) {
		return "", &badWorkspace{fmt.Sprintf("the workspace %s would put av's own folder %s, with the vault, into the box", real, realHome)}
	}
	return real, nil
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
