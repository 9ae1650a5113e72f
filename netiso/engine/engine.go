// Package engine is av's whole conversation with a Docker engine.
// It is the only package that imports the Docker client, so that the client can be
// replaced in one place; it makes no decision about isolation.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
)

// ErrNotFound says that a container, network or image is not there (any more).
var ErrNotFound = errors.New("not found")

// ErrConflict says that a name, a subnet or an address is already taken.
var ErrConflict = errors.New("already taken")

// Engine is a connection to one Docker engine. It is safe for concurrent use.
type Engine struct {
	api  *client.Client
	host string

	asking sync.Mutex // held while the engine is asked what it is
	told   *system.Info
}

// Connect reaches the engine that the docker command would, and agrees on an API
// version with it. The error says what to do when it does not answer.
func Connect(ctx context.Context) (*Engine, error) {
	home, _ := os.UserHomeDir() // without one there are no contexts
	at, err := locate(os.Getenv, home)
	if err != nil {
		return nil, err
	}
	api, err := client.NewClientWithOpts(append(at.options(), client.WithAPIVersionNegotiation())...)
	if err != nil {
		return nil, &unreachable{endpoint: at, err: err}
	}
	e := &Engine{api: api, host: api.DaemonHost()}
	if _, err := api.Ping(ctx); err != nil {
		api.Close()
		return nil, &unreachable{endpoint: at, err: err}
	}
	return e, nil
}

// Close gives the connections back.
func (e *Engine) Close() error { return e.api.Close() }

// Host is the engine's address as the user would write it in DOCKER_HOST.
func (e *Engine) Host() string { return e.host }

// Local tells whether the engine is reached through a socket of this machine, so
// that its bridges and its bind mounts are this machine's too.
func (e *Engine) Local() bool { return strings.HasPrefix(e.host, "unix://") }

// unreachable is an engine that does not answer, with the step that helps.
type unreachable struct {
	endpoint
	err error
}

func (u *unreachable) Error() string {
	said := ""
	if u.from != "" {
		said = ", which " + u.from + " names"
	}
	if u.denied() {
		return "no permission to use the Docker daemon at " + u.host + said
	}
	return "cannot reach the Docker daemon at " + u.host + said
}

func (u *unreachable) Unwrap() error { return u.err }

func (u *unreachable) Hint() string {
	if u.denied() {
		return "run av as a user of the docker group, or as root"
	}
	switch {
	case strings.HasPrefix(u.host, "ssh://"):
		return "av does not speak ssh to an engine: run av on the engine's machine"
	case u.from != "":
		return "start Docker, or set DOCKER_HOST, or choose another with `docker context use`"
	}
	return "start Docker, or set DOCKER_HOST"
}

// The client wraps the socket's error in text of its own, so the text is what is
// left to look at where errors.Is finds nothing.
func (u *unreachable) denied() bool {
	return errors.Is(u.err, fs.ErrPermission) || strings.Contains(u.err.Error(), "permission denied")
}

// wrap says what was being done and makes the engine's "no such" and "conflict"
// answers ones that callers can branch on.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := fmt.Sprintf(format, args...)
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %w: %w", doing, ErrNotFound, err)
	case errdefs.IsConflict(err), strings.Contains(err.Error(), "Pool overlaps"),
		strings.Contains(err.Error(), "conflicts with network"), strings.Contains(err.Error(), "overlaps with other one"):
		return fmt.Errorf("%s: %w: %w", doing, ErrConflict, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// gone turns "not there" into success: what is to be removed may be gone already.
func gone(err error) error {
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
