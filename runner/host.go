package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner/trust"
)

// Host runs a command on this machine with the proxy's variables set, and gives its
// exit code. Nothing holds the command to them: this is for programs that are
// trusted, and only spares them the credential.
func Host(ctx context.Context, spec Spec, environ []string) (code int, err error) {
	var u undo
	defer func() {
		if failed := u.run(); failed != nil {
			err = errors.Join(err, &leftBehind{failed})
		}
	}()
	lease, err := netiso.Hold(spec.Home, netiso.NewRun(spec.Owner).ID)
	if err != nil {
		return 0, err
	}
	u.add(rankLease, func(context.Context) error { return lease.Release() })
	lease.Tell(func(n *netiso.Note) { n.Command, n.Isolation, n.Folder = spec.Command[0], "host", spec.Workspace })
	if err := spec.held(lease, &u); err != nil {
		return 0, err
	}
	defer lease.Tell(func(n *netiso.Note) { n.State = netiso.Ending })
	session, err := spec.Broker.Open(ctx, filepath.Base(lease.Dir))
	if err != nil {
		return 0, err
	}
	u.add(rankSession, session.Close)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("listen for the command: %w", err)
	}
	u.add(rankRelay, serve(ctx, session, listener))
	bundle, err := hostBundle(lease.Dir, spec.Broker.CA())
	if err != nil {
		return 0, err
	}
	env := slices.Concat(withoutAV(environ), proxyEnv(session.ProxyURL(listener.Addr())), trust.Env(bundle), spec.Env)
	return runHere(spec, env, lease)
}

// withoutAV leaves out what is av's own: the master password above all.
func withoutAV(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool { return strings.HasPrefix(kv, "AV_") })
}

// hostBundle writes the host's own roots and av's CA to a file of the run.
func hostBundle(dir string, ca []byte) (string, error) {
	var roots []byte
	for _, name := range trust.HostBundles() {
		found, err := os.ReadFile(name)
		if err == nil {
			roots = found
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read the host's CA bundle: %w", err)
		}
	}
	path := filepath.Join(dir, "ca-bundle.pem")
	if err := os.WriteFile(path, slices.Concat(roots, []byte("\n"), ca), 0o600); err != nil {
		return "", fmt.Errorf("write the CA bundle: %w", err)
	}
	return path, nil
}

// runHere runs the command as a child and passes signals on.
func runHere(spec Spec, env []string, lease *netiso.Lease) (int, error) {
	cmd := exec.Command(spec.Command[0], spec.Command[1:]...)
	cmd.Env, cmd.Dir = env, spec.Workspace
	cmd.Stdin, cmd.Stdout, cmd.Stderr = spec.Streams.In, spec.Streams.Out, spec.Streams.Err
	if err := cmd.Start(); err != nil {
		return 0, notStartedHere(err, spec.Command[0])
	}
	lease.Tell(func(n *netiso.Note) { n.State = netiso.Running })
	ended := make(chan struct{})
	forwarded := make(chan struct{})
	go func() {
		defer close(forwarded)
		for {
			select {
			case <-ended:
				return
			case s := <-spec.Signals:
				// What the terminal's keys mean, the terminal has told the command itself:
				// it is in the same process group.
				if spec.Streams.terminal() && (s == syscall.SIGINT || s == syscall.SIGQUIT) {
					continue
				}
				if _, ok := signalName(s); ok {
					_ = cmd.Process.Signal(s) // it may have ended just now
				}
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	<-forwarded
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

func notStartedHere(err error, command string) error {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return &NotStarted{127, fmt.Sprintf("there is no command %q", command), "check its name and your PATH"}
	case errors.Is(err, fs.ErrPermission):
		return &NotStarted{126, fmt.Sprintf("the command %q may not be run", command), "is it executable?"}
	}
	return fmt.Errorf("start the command: %w", err)
}
