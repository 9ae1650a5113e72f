// Package require says what a test needs of the machine it runs on.
// A test whose need is not met is skipped with the reason; where AV_REQUIRE names the need it fails instead,
// so that a machine which is meant to run everything cannot quietly run less.
package require

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Image is the base image that scripts/setup leaves on the machine.
const Image = "debian:bookworm-slim"

// The needs that AV_REQUIRE can name, in a list with commas.
const (
	root    = "root"
	docker  = "docker"
	net     = "net"
	clients = "clients"
	npm     = "npm"
	engines = "engines"
)

// Root asks for the rights of root.
func Root(t testing.TB) {
	t.Helper()
	need(t, root, probeRoot())
}

// Docker asks for a Docker daemon that answers and holds Image.
func Docker(t testing.TB) {
	t.Helper()
	need(t, docker, probeDocker())
}

// Dockerd asks for the engine's own program, for a test that starts a second daemon.
func Dockerd(t testing.TB) {
	t.Helper()
	program(t, docker, "dockerd")
}

// NewerEngine asks for the Docker Engine of a newer release than the machine's own, and gives
// the folders in which its programs lie.
func NewerEngine(t testing.TB) []string {
	t.Helper()
	const dir = "/usr/local/lib/av-test-engines/trixie"
	var reason string
	if _, err := os.Stat(filepath.Join(dir, "ready")); err != nil {
		reason = fmt.Sprintf("%v (run scripts/setup)", err)
	}
	need(t, engines, reason)
	return []string{filepath.Join(dir, "usr/sbin"), filepath.Join(dir, "usr/bin")}
}

// Program asks for a program with which root changes the machine.
func Program(t testing.TB, name string) {
	t.Helper()
	program(t, root, name)
}

func program(t testing.TB, what, name string) {
	t.Helper()
	var reason string
	if _, err := exec.LookPath(name); err != nil {
		reason = err.Error()
	}
	need(t, what, reason)
}

// DockerGroup asks for the group whose members may use the engine, and gives its id.
func DockerGroup(t testing.TB) string {
	t.Helper()
	group, err := user.LookupGroup("docker")
	if err != nil {
		need(t, docker, err.Error())
	}
	return group.Gid
}

// Net asks for the right to make network namespaces and links: the fake internet is one.
func Net(t testing.TB) {
	t.Helper()
	need(t, net, probeNet())
}

// Client asks for a program that people reach the network with, and gives its path. With args it has to succeed when
// it is run with them, as a Python has to that shall hold a library; every one on PATH is asked until one does.
func Client(t testing.TB, program string, args ...string) string {
	t.Helper()
	path, reason := probeClient(t.Context(), program, args)
	need(t, clients, reason)
	return path
}

// NPM says that what had to be fetched from npm's registry could not be, and why; the empty
// reason is that it could.
func NPM(t testing.TB, reason string) {
	t.Helper()
	need(t, npm, reason)
}

func probeClient(ctx context.Context, program string, args []string) (path, reason string) {
	reason = fmt.Sprintf("no %s on PATH (run scripts/setup)", program)
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path, err := exec.LookPath(filepath.Join(dir, program))
		if err != nil {
			continue
		}
		if len(args) == 0 {
			return path, ""
		}
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
		cancel()
		if err == nil {
			return path, ""
		}
		reason = fmt.Sprintf("%s %s (run scripts/setup): %v: %s", path, strings.Join(args, " "), err, lastLine(out))
	}
	return "", reason
}

func lastLine(out []byte) string {
	out = bytes.TrimSpace(out)
	return string(out[bytes.LastIndexByte(out, '\n')+1:])
}

func need(t testing.TB, what, reason string) {
	t.Helper()
	fail, message := judge(what, reason, os.Getenv("AV_REQUIRE"))
	switch {
	case fail:
		t.Fatal(message)
	case message != "":
		t.Skip(message)
	}
}

// judge decides what becomes of a test. reason says why the need is not met and is empty when it is.
// A word in AV_REQUIRE that names nothing fails every test: taken as harmless, a typing error would turn
// "must run" into "may be skipped".
func judge(what, reason, required string) (fail bool, message string) {
	var named bool
	for word := range strings.SplitSeq(required, ",") {
		word = strings.TrimSpace(word)
		if word != "" && !slices.Contains([]string{root, docker, net, clients, npm, engines}, word) {
			return true, fmt.Sprintf("AV_REQUIRE names %q; it knows %s, %s, %s, %s, %s and %s", word, docker, root, net, clients, npm, engines)
		}
		named = named || word == what
	}
	switch {
	case reason == "":
		return false, ""
	case named:
		return true, fmt.Sprintf("AV_REQUIRE names %s: %s", what, reason)
	}
	return false, fmt.Sprintf("needs %s: %s", what, reason)
}

func probeRoot() string {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Sprintf("this process has uid %d", uid)
	}
	return ""
}

// probeDocker asks once per process: the answer costs a process and a round trip.
var probeDocker = sync.OnceValue(func() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", "image", "inspect", "--format", "{{.Id}}", Image).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("no daemon that answers and holds %s (run scripts/setup): %v: %s", Image, err, bytes.TrimSpace(out))
	}
	return ""
})
