package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/trust"
)

const (
	// workspaceInBox is where the workspace is mounted.
	workspaceInBox = "/workspace"
	// homeInBox is the command's HOME, gone with the run.
	homeInBox = "/home/agent"
	// homeSize bounds what can be written there, in bytes: it is the host's memory.
	homeSize = 2 << 30
	// defaultPath is what engines search where an image sets no PATH.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// agent is the container that the command runs in. It joins the gate's namespace,
// has no capability at all, and holds nothing that is worth taking.
type agent struct {
	engine   *engine.Engine
	id       string
	image    engine.Image
	uid, gid int
	command  []string
	env      []string // what the user has set
	// workspace is the folder of the host that is at workspaceInBox.
	workspace string

	stdio *engine.Stdio // nil: it was not started
	exit  <-chan engine.Exit
}

// start starts the container. Its command may have to wait there, see entry.Orders.
func (a *agent) start(ctx context.Context, b *box) (err error) {
	if a.stdio, err = a.engine.Attach(ctx, a.id, true); err != nil {
		return err
	}
	a.exit = a.engine.Wait(ctx, a.id)
	if b.Streams.Console != nil {
		if err := a.runnable(ctx); err != nil {
			return err
		}
	}
	defer b.took.part(partCommand)()
	if err := a.engine.StartContainer(ctx, a.id); err != nil {
		return notStarted(err, a.command[0])
	}
	return nil
}

// letGo ends what joins us to the container.
func (a *agent) letGo() {
	if a.stdio != nil {
		a.stdio.Close()
	}
}

// createAgent creates the container. It can be created before the gate runs, but
// not started: the engine refuses to join a namespace that is not there.
func (b *box) createAgent(ctx context.Context, image engine.Image, uid, gid int, limits engine.Limits) error {
	entrypoint, err := b.enter()
	if err != nil {
		return err
	}
	width, height, _ := b.Streams.size()
	c := engine.Container{
		Name: b.run.Agent(), Image: image.ID, Labels: b.run.Labels(),
		Entrypoint: entrypoint, Command: b.Command,
		User: fmt.Sprintf("%d:%d", uid, gid), Dir: workspaceInBox,
		Env:     b.env(image.Env),
		Network: "container:" + b.run.Gate(),
		Binds:   slices.Concat(b.placed.binds, b.names, b.brought),
		Tmpfs:   map[string]string{},
		Limits:  limits,
		Runtime: b.Runtime,
		TTY:     b.Streams.terminal(),
		Width:   width, Height: height,
		OpenStdin: true,
		Init:      true,
	}
	if b.Root {
		c.CapAdd, c.RootInBox = givenToRoot(), true
	}
	b.putHome(&c, uid, gid)
	if b.ReadOnly {
		c.ReadOnly = true
		b.putScratch(&c)
	}
	create, done := b.creating(ctx)
	defer done()
	id, err := b.engine.CreateContainer(create, c)
	if err != nil {
		return err
	}
	b.agent = agent{engine: b.engine, id: id, image: image, uid: uid, gid: gid, command: b.Command, env: b.Env, workspace: b.workspaceHere()}
	b.undo.add(rankAgent, func(ctx context.Context) error {
		err := b.engine.RemoveContainer(ctx, id)
		b.agent.letGo()
		return err
	})
	return ctx.Err()
}

// env is the command's environment: av's, then the user's, and git's settings after those
// that the image or the user may have begun to count.
func (b *box) env(image []string) []string {
	env := boxEnv(b.Streams, image)
	if b.Root {
		env = append(env, "USER=root", "LOGNAME=root")
	}
	return slices.Concat(env, b.Env, b.Git.env(slices.Concat(image, b.Env)))
}

// boxEnv is what every command in a box finds in its environment.
func boxEnv(s Streams, image []string) []string {
	env := append(proxyEnv(fmt.Sprintf("http://127.0.0.1:%d", netiso.ProxyPort)), trust.Env(trust.Bundle)...)
	env = append(env, "HOME="+homeInBox, "USER=agent", "LOGNAME=agent")
	return append(env, terminalEnv(s.Terminal, image, s.terminal())...)
}

// proxyEnv points the programs that look at them to the proxy. Some read only the
// lower case (curl, for http), some only the upper.
func proxyEnv(url string) []string {
	var env []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env = append(env, name+"="+url, strings.ToLower(name)+"="+url)
	}
	const direct = "localhost,127.0.0.1,::1"
	return append(env, "NO_PROXY="+direct, "no_proxy="+direct, "NODE_USE_ENV_PROXY=1")
}

// explain says why the command could not be run, after the engine's init has ended
// with 126 or 127; nil where it could, and the code is the command's own, as a shell
// gives it for something else. It is asked then only: to look for a file in a container
// takes an engine as long as to start one.
func (a *agent) explain(ctx context.Context, code int) error {
	if n := a.unfit(ctx); n != nil && n.code == code {
		return n
	}
	return nil
}

// runnable looks before the start for what explain finds out after it: whoever starts a
// detached run is gone by then.
func (a *agent) runnable(ctx context.Context) error {
	if n := a.unfit(ctx); n != nil {
		return n
	}
	return nil
}

// unfit says what is wrong with the command, as far as its file shows.
func (a *agent) unfit(ctx context.Context) *NotStarted {
	name := a.command[0]
	mode, err := a.find(ctx, name)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return noCommand(name)
	case err == nil && (mode.IsDir() || mode.Perm()&0o111 == 0):
		return &NotStarted{126, fmt.Sprintf("the command %q may not be run", name), "is it a program, and executable?"}
	}
	return nil
}

// find looks for a command as an init does: as a path, or along PATH.
func (a *agent) find(ctx context.Context, name string) (fs.FileMode, error) {
	if !strings.Contains(name, "/") {
		for _, dir := range strings.Split(a.path(), ":") {
			// A folder that cannot be looked into is no proof of absence.
			if mode, err := a.engine.Stat(ctx, a.id, path.Join("/", dir, name)); !errors.Is(err, engine.ErrNotFound) {
				return mode, err
			}
		}
		return 0, engine.ErrNotFound
	}
	full := name
	if !path.IsAbs(name) {
		full = path.Join(workspaceInBox, name)
	}
	inside, below := strings.CutPrefix(path.Clean(full), workspaceInBox+"/")
	if !below {
		return a.engine.Stat(ctx, a.id, full)
	}
	// The workspace is not in the container's own file system. What is there now the
	// command may have made itself; a link is not followed, lest it lead out.
	info, err := os.Lstat(filepath.Join(a.workspace, inside))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, engine.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

// path is the PATH that the command is looked for on.
func (a *agent) path() string {
	search := defaultPath
	for _, kv := range slices.Concat(a.image.Env, a.env) {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
		}
	}
	return search
}
