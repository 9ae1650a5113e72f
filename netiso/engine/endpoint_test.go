package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// clientHome is a home with two contexts, of which one is chosen, and the sockets that are named.
func clientHome(t *testing.T, chosen string, sockets ...string) string {
	t.Helper()
	home, err := os.MkdirTemp("", "av-h") // short: a socket's path has a hundred characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	write := func(path, content string) {
		path = filepath.Join(home, ".docker", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("config.json", `{"currentContext": "`+chosen+`", "auths": {}}`)
	for name, content := range map[string]string{
		"colima": `{"Name":"colima","Endpoints":{"docker":{"Host":"unix:///home/me/.colima/docker.sock","SkipTLSVerify":false}}}`,
		"far":    `{"Name":"far","Endpoints":{"docker":{"Host":"tcp://engine.test:2376"}}}`,
		"odd":    `{"Name":"odd","Endpoints":{"kubernetes":{}}}`,
		"torn":   `{"Name":`,
	} {
		sum := sha256.Sum256([]byte(name))
		id := hex.EncodeToString(sum[:])
		write("contexts/meta/"+id+"/meta.json", content)
		if name == "far" {
			write("contexts/tls/"+id+"/docker/ca.pem", "")
		}
	}
	for _, s := range sockets {
		path := filepath.Join(home, s)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
	}
	return home
}

func TestEngineIsFoundAsTheDockerCommandFindsIt(t *testing.T) {
	for _, c := range []struct {
		name, chosen string
		env          map[string]string
		host, from   string
		err          string
	}{
		{name: "the chosen context", chosen: "colima", host: "unix:///home/me/.colima/docker.sock", from: `the Docker context "colima"`},
		{name: "DOCKER_CONTEXT before the chosen one", chosen: "colima", env: map[string]string{"DOCKER_CONTEXT": "far"}, host: "tcp://engine.test:2376", from: `the Docker context "far"`},
		{name: "DOCKER_HOST before all", chosen: "colima", env: map[string]string{"DOCKER_CONTEXT": "far", "DOCKER_HOST": "unix:///x.sock"}, host: "unix:///x.sock", from: "DOCKER_HOST"},
		{name: "a context that is not there", chosen: "gone", err: `there is no Docker context "gone"`},
		{name: "the same by its variable", env: map[string]string{"DOCKER_CONTEXT": "gone"}, err: "which DOCKER_CONTEXT names"},
		{name: "a context without an engine", chosen: "odd", err: "names no engine"},
		{name: "a torn file", chosen: "torn", err: "cannot read"},
		{name: "a torn configuration", chosen: `"`, err: "cannot read the Docker client's configuration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := clientHome(t, c.chosen)
			got, err := locate(func(name string) string { return c.env[name] }, home)
			if c.err != "" {
				var hinted interface{ Hint() string }
				if err == nil || !strings.Contains(err.Error(), c.err) || !errors.As(err, &hinted) {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || got.host != c.host || got.from != c.from {
				t.Errorf("got %+v, %v", got, err)
			}
			if wantTLS := c.host == "tcp://engine.test:2376"; (got.tls != "") != wantTLS {
				t.Errorf("keys %q", got.tls)
			}
		})
	}
}

func TestEngineOfAnOrdinaryUserIsFoundWhereTheSystemHasNone(t *testing.T) {
	home := clientHome(t, "default", "run/docker.sock", ".docker/desktop/docker.sock", ".colima/default/docker.sock")
	// A file that is no socket is passed over.
	if err := os.WriteFile(filepath.Join(home, ".docker", "run"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"XDG_RUNTIME_DIR": filepath.Join(home, "run")}
	getenv := func(name string) string { return env[name] }
	var there []string
	for _, socket := range localSockets(getenv, home) {
		if info, err := os.Stat(socket); err == nil && info.Mode()&os.ModeSocket != 0 && socket != "/var/run/docker.sock" {
			there = append(there, socket)
		}
	}
	if want := []string{filepath.Join(home, "run/docker.sock"), filepath.Join(home, ".docker/desktop/docker.sock"), filepath.Join(home, ".colima/default/docker.sock")}; strings.Join(there, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", there, want)
	}
	if relative := localSockets(func(string) string { return "run" }, ""); len(relative) != 1 {
		t.Errorf("a relative folder is looked into: %q", relative)
	}
}
