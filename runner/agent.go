package runner

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
)

const (
	// workspaceInBox is where the workspace is mounted.
	workspaceInBox = "/workspace"
	// homeInBox is the command's HOME: memory, gone with the run.
	homeInBox = "/home/agent"
	// agentPids bounds a fork bomb.
	agentPids = 4096
	// defaultPath is what engines search where an image sets no PATH.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// agent is the container that the command runs in. It joins the gate's namespace,
// has no capability at all, and holds nothing that is worth taking.
type agent struct {
	engine  *engine.Engine
	id      string
	image   engine.Image
	command []string
}

// createAgent creates the container. It can be created before the gate runs, but
// not started: the engine refuses to join a namespace that is not there.
func (b *box) createAgent(ctx context.Context, ref string) error {
	image, err := b.engine.Image(ctx, ref)
	if err != nil {
		return err
	}
	uid, gid, err := boxUser(b.Workspace)
	if err != nil {
		return err
	}
	width, height, _ := b.Streams.size()
	id, err := b.engine.CreateContainer(context.WithoutCancel(ctx), engine.Container{
		Name: b.run.Agent(), Image: ref, Labels: b.run.Labels(),
		Entrypoint: b.Command[:1], Command: b.Command[1:],
		User: fmt.Sprintf("%d:%d", uid, gid), Dir: workspaceInBox,
		Env:       append(boxEnv(b.Streams), b.Env...),
		Network:   "container:" + b.run.Gate(),
		Binds:     []engine.Bind{{Source: b.Workspace, Target: workspaceInBox}},
		Tmpfs:     map[string]string{homeInBox: fmt.Sprintf("exec,mode=0700,uid=%d,gid=%d", uid, gid)},
		PidsLimit: agentPids,
		TTY:       b.Streams.terminal(),
		Width:     width, Height: height,
		OpenStdin: true,
		Init:      true,
	})
	if err != nil {
		return err
	}
	b.agent = agent{engine: b.engine, id: id, image: image, command: b.Command}
	b.undo.add(rankContainers, func(ctx context.Context) error { return b.engine.RemoveContainer(ctx, id) })
	return ctx.Err()
}

// boxEnv is what every command in a box finds in its environment.
func boxEnv(s Streams) []string {
	env := append(proxyEnv(fmt.Sprintf("http://127.0.0.1:%d", netiso.ProxyPort)), trustEnv(bundleInBox)...)
	env = append(env, "HOME="+homeInBox, "USER=agent", "LOGNAME=agent")
	if s.terminal() && s.Term != "" {
		env = append(env, "TERM="+s.Term)
	}
	return env
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

// trustEnv names the CA bundle to the programs that look for it in the environment.
func trustEnv(bundle string) []string {
	var env []string
	for _, name := range []string{
		"SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS",
		"REQUESTS_CA_BUNDLE", "PIP_CERT", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO",
		"DENO_CERT", "NIX_SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "npm_config_cafile",
	} {
		env = append(env, name+"="+bundle)
	}
	return env
}

// missing tells whether the image lacks the command. It is asked only when the
// engine's init could not run it: to look for a file in a container that does not run
// takes an engine as long as to start one.
func (a *agent) missing(ctx context.Context) bool {
	name := a.command[0]
	if path.IsAbs(name) && !strings.HasPrefix(path.Clean(name), workspaceInBox+"/") {
		return a.notThere(ctx, name)
	}
	if strings.Contains(name, "/") {
		return false // in the workspace, which is not in the container's own file system
	}
	search := defaultPath
	for _, kv := range a.image.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
		}
	}
	var candidates []string
	for _, dir := range strings.Split(search, ":") {
		candidates = append(candidates, path.Join("/", dir, name))
	}
	return a.notThere(ctx, candidates...)
}

// notThere tells whether none of the paths is in the container. A path that cannot be
// looked at is no proof of absence.
func (a *agent) notThere(ctx context.Context, paths ...string) bool {
	for _, p := range paths {
		if err := a.engine.Stat(ctx, a.id, p); !errors.Is(err, engine.ErrNotFound) {
			return false
		}
	}
	return true
}
