package firewall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadNamespace counts what a run's walls have stopped in the network namespace at
// path. backend is the one that the gate used, "iptables-nft" or "iptables-legacy". It
// needs CAP_SYS_ADMIN and CAP_NET_ADMIN. The programs that it runs are the host's:
// nothing of the namespace's containers is trusted to tell. Programs from before 1.8.8 leave
// out parts of rules that later ones have made, so where they are not of the version that
// made the rules, what looks like another rule may be the same.
func (p Plan) ReadNamespace(ctx context.Context, path, backend, version string) (Refused, error) {
	own, err := ownBackend()
	if err != nil {
		return Refused{}, err
	}
	if backend == "iptables-"+own {
		backend = "iptables"
	}
	namespace, err := os.Open(path)
	if err != nil {
		return Refused{}, fmt.Errorf("open the run's network namespace: %w", err)
	}
	defer namespace.Close()
	var lines []string
	done := make(chan error)
	go func() {
		// Never unlocked: the thread has the other namespace, and ends with this goroutine.
		runtime.LockOSThread()
		err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			lines, err = save(ctx, backend+"-save", "-c")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return Refused{}, fmt.Errorf("read the run's walls: %w", err)
	}
	counted, err := p.Counted(lines)
	if errors.Is(err, ErrChanged) {
		if said, failed := exec.CommandContext(ctx, backend, "-V").Output(); failed != nil || strings.TrimSpace(string(said)) != version {
			err = fmt.Errorf("read the run's walls: the host's program is %q, and the rules were made by %q", strings.TrimSpace(string(said)), version)
		}
	}
	return counted, err
}
