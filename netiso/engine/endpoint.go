package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/docker/client"
)

// endpoint is where an engine is, and who says so.
type endpoint struct {
	host string
	from string // "DOCKER_HOST", `the context "colima"`; empty for the local engine
	tls  string // the folder with ca.pem, cert.pem and key.pem; empty: none
	// environment: the variables of the docker command say all of it.
	environment bool
}

// locate finds the engine as the docker command does: DOCKER_HOST wins over
// DOCKER_CONTEXT, that over the context that `docker context use` has chosen, and that over
// the local socket. Where the local socket is not there, those of engines that ordinary
// users run are looked for, as the docker command does not.
func locate(getenv func(string) string, home string) (endpoint, error) {
	if host := getenv("DOCKER_HOST"); host != "" {
		return endpoint{host: host, from: "DOCKER_HOST", environment: true}, nil
	}
	config := getenv("DOCKER_CONFIG")
	if config == "" {
		config = filepath.Join(home, ".docker")
	}
	name, from := getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		var err error
		if name, err = currentContext(config); err != nil {
			return endpoint{}, err
		}
		from = filepath.Join(config, "config.json")
	}
	if name != "" && name != "default" {
		return readContext(config, name, from)
	}
	for _, socket := range localSockets(getenv, home) {
		if info, err := os.Stat(socket); err == nil && info.Mode()&fs.ModeSocket != 0 {
			return endpoint{host: "unix://" + socket}, nil
		}
	}
	return endpoint{host: client.DefaultDockerHost}, nil
}

// localSockets are where engines of this machine listen: the system's, a rootless one, and
// those of Docker Desktop, Colima, OrbStack and Rancher Desktop.
func localSockets(getenv func(string) string, home string) []string {
	sockets := []string{"/var/run/docker.sock"}
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"))
	}
	if !filepath.IsAbs(home) {
		return sockets
	}
	for _, path := range []string{
		".docker/run/docker.sock", ".docker/desktop/docker.sock", ".colima/default/docker.sock", ".colima/docker.sock",
		".config/colima/default/docker.sock", ".orbstack/run/docker.sock", ".rd/docker.sock",
	} {
		sockets = append(sockets, filepath.Join(home, path))
	}
	return sockets
}

// currentContext is the one that `docker context use` has chosen.
func currentContext(config string) (string, error) {
	path := filepath.Join(config, "config.json")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var chosen struct {
		CurrentContext string `json:"currentContext"`
	}
	if err == nil {
		err = json.Unmarshal(content, &chosen)
	}
	if err != nil {
		return "", &noContext{fmt.Sprintf("cannot read the Docker client's configuration %s: %v", path, err), "repair it, or set DOCKER_HOST"}
	}
	return chosen.CurrentContext, nil
}

// readContext reads where a context leads. It is kept under the digest of its name.
func readContext(config, name, from string) (endpoint, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	const hint = "`docker context ls` lists them; or set DOCKER_HOST"
	content, err := os.ReadFile(filepath.Join(config, "contexts", "meta", id, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return endpoint{}, &noContext{fmt.Sprintf("there is no Docker context %q, which %s names", name, from), hint}
	}
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if err == nil {
		err = json.Unmarshal(content, &meta)
	}
	if err != nil {
		return endpoint{}, &noContext{fmt.Sprintf("cannot read the Docker context %q: %v", name, err), hint}
	}
	found := endpoint{host: meta.Endpoints["docker"].Host, from: fmt.Sprintf("the Docker context %q", name)}
	if found.host == "" {
		return endpoint{}, &noContext{fmt.Sprintf("the Docker context %q names no engine", name), hint}
	}
	keys := filepath.Join(config, "contexts", "tls", id, "docker")
	if _, err := os.Stat(keys); err == nil {
		found.tls = keys
	}
	return found, nil
}

// options are those of a client for the endpoint.
func (p endpoint) options() []client.Opt {
	if p.environment {
		return []client.Opt{client.FromEnv}
	}
	opts := []client.Opt{client.WithHost(p.host), client.WithVersionFromEnv()}
	if p.tls != "" {
		opts = append(opts, client.WithTLSClientConfig(filepath.Join(p.tls, "ca.pem"), filepath.Join(p.tls, "cert.pem"), filepath.Join(p.tls, "key.pem")))
	}
	return opts
}

// noContext is a context that leads nowhere.
type noContext struct{ why, hint string }

func (n *noContext) Error() string { return n.why }
func (n *noContext) Hint() string  { return n.hint }
