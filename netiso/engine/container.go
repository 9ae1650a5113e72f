package engine

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/strslice"
)

// Container is a container to create. What is not said here is the engine's
// default; what every container of av has (no capability but those named, no new
// privileges) is not an option.
type Container struct {
	Name       string
	Image      string
	Entrypoint []string // nil: the image's own
	Command    []string
	User       string
	Dir        string
	Env        []string
	Labels     map[string]string
	Network    string // a network's name, "container:NAME", or NoNetwork
	Hostname   string // empty: the engine's own choice
	Sysctls    map[string]string
	CapAdd     []string
	ReadOnly   bool
	Binds      []Bind
	Tmpfs      map[string]string
	Volumes    []Volume
	Limits
	// RootInBox: the command is root and may become others, but never the gate's user.
	RootInBox bool
	Runtime   string // empty: the engine's default
	TTY       bool
	// Width and Height of the terminal, in characters. Engines before 23.0 want them
	// said again once the container runs.
	Width, Height uint16
	OpenStdin     bool
	Init          bool // run the engine's own init as pid 1: it reaps and passes signals on
	AutoRemove    bool // the engine removes it when it has ended
}

// NoNetwork is the engine's name for no network.
const NoNetwork = "none"

// Bind is a path of the engine's host put into a container.
type Bind struct {
	Source, Target string
	ReadOnly       bool
}

// Volume is a volume of the engine's put into a container.
type Volume struct{ Name, Target string }

// ContainerInfo is a container that exists.
type ContainerInfo struct {
	ID, Name string
	Labels   map[string]string
	Made     time.Time
	// Runs is false for one that was never started, or has ended.
	Runs bool
}

// CreateContainer creates a container that can be attached to and started.
// ErrNotFound says that its image is not there.
func (e *Engine) CreateContainer(ctx context.Context, c Container) (id string, err error) {
	security := []string{"no-new-privileges"}
	profile, err := seccompProfile(c.RootInBox)
	if err != nil {
		return "", fmt.Errorf("render the seccomp profile: %w", err)
	}
	if profile != "" {
		security = append(security, "seccomp="+profile)
	}
	config := &container.Config{
		Image: c.Image, Entrypoint: strslice.StrSlice(c.Entrypoint), Cmd: strslice.StrSlice(c.Command),
		User: c.User, WorkingDir: c.Dir, Env: c.Env, Labels: c.Labels,
		Hostname: c.Hostname,
		Tty:      c.TTY, OpenStdin: c.OpenStdin,
		// The kernel makes the namespace, and the engine has nothing to do with it: to put
		// one of its own there takes it longer than all else of a start.
		NetworkDisabled: c.Network == NoNetwork,
		// With StdinOnce the engine closes stdin when the one attached client goes
		// away, however it went: a gate sees the end of its av even after kill -9.
		StdinOnce:    c.OpenStdin,
		AttachStdin:  c.OpenStdin,
		AttachStdout: true, AttachStderr: true,
		// An image's own check is a command that nobody asked for, and it would be run before
		// the one that somebody did.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	host := &container.HostConfig{
		NetworkMode:    container.NetworkMode(c.Network),
		CapDrop:        strslice.StrSlice{"ALL"},
		CapAdd:         strslice.StrSlice(c.CapAdd),
		SecurityOpt:    security,
		ReadonlyRootfs: c.ReadOnly,
		Sysctls:        c.Sysctls,
		Tmpfs:          c.Tmpfs,
		Init:           &c.Init,
		AutoRemove:     c.AutoRemove,
		ConsoleSize:    [2]uint{uint(c.Height), uint(c.Width)},
		// What an agent prints goes to the person who runs it, and to no file of the
		// engine's that nobody rotates.
		LogConfig: container.LogConfig{Type: "none"},
		// Said, because an engine's configuration may have another default.
		IpcMode: container.IPCModePrivate,
		Runtime: c.Runtime,
	}
	c.Limits.put(host)
	for _, b := range c.Binds {
		host.Mounts = append(host.Mounts, mount.Mount{
			Type: mount.TypeBind, Source: b.Source, Target: b.Target, ReadOnly: b.ReadOnly,
			// Private: a mount made on the host later does not appear in the box. Not
			// recursive where it is read-only: engines before 25 leave what is mounted
			// below it writable.
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationPrivate, NonRecursive: b.ReadOnly},
		})
	}
	for _, v := range c.Volumes {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeVolume, Source: v.Name, Target: v.Target})
	}
	answer, err := e.api.ContainerCreate(ctx, config, host, nil, nil, c.Name)
	return answer.ID, wrap(err, "create container %s", c.Name)
}

// StartContainer starts a created container.
func (e *Engine) StartContainer(ctx context.Context, id string) error {
	return wrap(e.api.ContainerStart(ctx, id, container.StartOptions{}), "start container")
}

// KillContainer sends a signal, such as "SIGTERM"; a container that has ended
// already is a success.
func (e *Engine) KillContainer(ctx context.Context, id, signal string) error {
	err := e.api.ContainerKill(ctx, id, signal)
	if errdefs.IsConflict(err) || err != nil && strings.Contains(err.Error(), "is not running") {
		return nil
	}
	return wrap(gone(err), "send %s", signal)
}

// RemoveContainer kills and removes a container with its anonymous volumes; one
// that is gone already, or is being removed by someone else, is a success.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	err := gone(e.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	if err != nil && strings.Contains(err.Error(), "is already in progress") {
		waited, failed := e.api.ContainerWait(ctx, id, container.WaitConditionRemoved)
		select {
		case <-waited:
			return nil
		case err = <-failed:
			err = gone(err)
		}
	}
	return wrap(err, "remove container %s", id)
}

// Containers lists the containers, running or not, that carry every one of the labels.
func (e *Engine) Containers(ctx context.Context, labels map[string]string) ([]ContainerInfo, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: labelFilter(labels)})
	if err != nil {
		return nil, wrap(err, "list containers")
	}
	var out []ContainerInfo
	for _, c := range list {
		info := ContainerInfo{ID: c.ID, Labels: c.Labels, Made: time.Unix(c.Created, 0)}
		switch c.State {
		case container.StateCreated, container.StateExited, container.StateDead, container.StateRemoving:
		default:
			info.Runs = true
		}
		if len(c.Names) > 0 {
			info.Name = strings.TrimPrefix(c.Names[0], "/")
		}
		out = append(out, info)
	}
	return out, nil
}

// Exit is how a container's first process ended.
type Exit struct {
	Code int
	Err  error // the engine lost the container
}

// Wait answers once on the channel when the container stops. It is registered with
// the engine when Wait returns, so a container that is started afterwards cannot
// end unseen.
func (e *Engine) Wait(ctx context.Context, id string) <-chan Exit {
	waited, failed := e.api.ContainerWait(ctx, id, container.WaitConditionNextExit)
	out := make(chan Exit, 1)
	go func() {
		select {
		case w := <-waited:
			exit := Exit{Code: int(w.StatusCode)}
			if w.Error != nil {
				exit.Err = wrap(errorString(w.Error.Message), "wait for container")
			}
			out <- exit
		case err := <-failed:
			out <- Exit{Err: wrap(err, "wait for container")}
		}
	}()
	return out
}

type errorString string

func (s errorString) Error() string { return string(s) }

// Resize tells a container's terminal its new size in characters.
func (e *Engine) Resize(ctx context.Context, id string, width, height uint16) error {
	return wrap(e.api.ContainerResize(ctx, id, container.ResizeOptions{Width: uint(width), Height: uint(height)}), "resize terminal")
}

// CopyTo unpacks a tar archive into a container's file system, under dir.
func (e *Engine) CopyTo(ctx context.Context, id, dir string, tar io.Reader) error {
	return wrap(e.api.CopyToContainer(ctx, id, dir, tar, container.CopyToContainerOptions{}), "copy files into container")
}

// CopyFrom reads a path of a container's file system as a tar archive.
// ErrNotFound says that there is no such path.
func (e *Engine) CopyFrom(ctx context.Context, id, path string) (io.ReadCloser, error) {
	body, _, err := e.api.CopyFromContainer(ctx, id, path)
	return body, wrap(err, "read %s from container", path)
}

// Stat looks for one path in a container's file system. ErrNotFound says that there
// is none.
func (e *Engine) Stat(ctx context.Context, id, path string) (fs.FileMode, error) {
	stat, err := e.api.ContainerStatPath(ctx, id, path)
	return stat.Mode, wrap(err, "look for %s in container", path)
}

// Lstat looks at one path in a container's file system, and for a symbolic link gives where it leads in the end, links
// behind it followed and none out of the container. ErrNotFound says that there is no such path.
func (e *Engine) Lstat(ctx context.Context, id, path string) (mode fs.FileMode, link string, err error) {
	stat, err := e.api.ContainerStatPath(ctx, id, path)
	return stat.Mode, stat.LinkTarget, wrap(err, "look for %s in container", path)
}
