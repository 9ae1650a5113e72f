package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

const engineSocket = "/var/run/docker.sock"

// engineUser is somebody who may use the engine, and may not change the host's rules.
type engineUser struct {
	dir, home, av string
	env           []string
	credential    *syscall.Credential
}

func newEngineUser(t *testing.T) engineUser {
	t.Helper()
	_, _, av := home(t)
	gid, err := strconv.Atoi(require.DockerGroup(t))
	if err != nil {
		t.Fatal(err)
	}
	// t.TempDir lies in folders that only root may enter.
	dir, err := os.MkdirTemp("", "av-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const nobody = 65534
	project := filepath.Join(dir, "project")
	if err := errors.Join(os.Mkdir(project, 0o755), os.Chown(project, nobody, nobody), os.Chown(dir, nobody, nobody), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	u := engineUser{
		dir: dir, home: filepath.Join(dir, "home"), av: av,
		credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{uint32(gid)}},
	}
	u.env = withRelay(append(os.Environ(), "AV_HOME="+u.home, "HOME="+dir), "bridge")
	if out, err := u.command("init", "--no-password").CombinedOutput(); err != nil {
		t.Fatalf("av init: %v: %s", err, out)
	}
	return u
}

func (u engineUser) command(args ...string) *exec.Cmd {
	cmd := exec.Command(u.av, args...)
	cmd.Env, cmd.Dir = u.env, filepath.Join(u.dir, "project")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.credential}
	return cmd
}

// start starts a run that lasts until its input ends.
func (u engineUser) start(t *testing.T, flags ...string) (r running) {
	t.Helper()
	r = running{out: &syncBuffer{}, cmd: u.command(append(append([]string{"run", "--isolation=container"}, flags...), "--", "bash", "-c", "echo ready; cat")...)}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.cmd.Wait() }()
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); <-ended })
	t.Cleanup(func() { r.stdin.Close() })
	until(t, "the box", 3*time.Minute, func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the run has ended: %v: %s", err, r.out)
		default:
		}
		return strings.Contains(r.out.String(), "ready")
	})
	return r
}

// wallsOf are the rules on the host that belong to the user's runs.
func (u engineUser) walls(t *testing.T) (rules []string) {
	t.Helper()
	owner, err := os.ReadFile(filepath.Join(u.home, "owner"))
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(string(owner), " ")
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		out, err := exec.Command(program, "-t", "filter").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, name) {
				rules = append(rules, line)
			}
		}
	}
	return rules
}

// Root may open any file: what av makes for itself has to be its own where it is not root, too.
func TestUserOfTheEngineRunsInABoxWithoutALink(t *testing.T) {
	u := newEngineUser(t)
	for _, flags := range [][]string{nil, {"--root"}, {"--home=persist"}, {"--workspace=copy"}, {"--read-only"}} {
		cmd := u.command(append(append([]string{"run", "--isolation=container", "--relay=socket"}, flags...), "--", "sh", "-c", "id -u; echo x >made; exit 7")...)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		want := strconv.Itoa(int(u.credential.Uid)) + "\n"
		if slices.Contains(flags, "--root") {
			want = "0\n"
		}
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 7 || string(out) != want {
			t.Errorf("%q: %v, %q: %s", flags, err, out, &said)
		}
		if left := leftOf(u.home); left != "" {
			t.Errorf("%q: left behind:\n%s", flags, left)
		}
	}
	if out, err := u.command("home", "list", "--json").Output(); err != nil {
		t.Errorf("%v: %s", err, out)
	} else if err := u.command("home", "remove", "--all").Run(); err != nil {
		t.Errorf("remove what it kept: %v", err)
	}
}

func TestUserOfTheEngineGetsWallsOnTheHost(t *testing.T) {
	u := newEngineUser(t)
	for _, c := range []struct {
		choice string
		walls  bool
	}{{"auto", true}, {"require", true}, {"off", false}} {
		t.Run(c.choice, func(t *testing.T) {
			receipt := filepath.Join(u.dir, "receipt.json")
			r := u.start(t, "--host-walls="+c.choice, "--receipt", receipt)
			if rules := u.walls(t); len(rules) != map[bool]int{true: 5}[c.walls] {
				t.Errorf("on the host there are %q", rules)
			}
			r.stdin.Close()
			until(t, "nothing to be left", time.Minute, func() bool { return leftOf(u.home) == "" })
			until(t, "the receipt", time.Minute, func() bool { _, err := os.Stat(receipt); return err == nil })
			got, text := readReceipt(t, receipt)
			if (got.HostDropped != nil && *got.HostDropped == 0) != c.walls || got.Refused != nil {
				t.Errorf("the receipt says %s", text)
			}
			if strings.Contains(r.out.String(), "error") || strings.Contains(r.out.String(), "without the second ones") {
				t.Errorf("it says %s", r.out)
			}
			if err := os.Remove(receipt); err != nil {
				t.Error(err)
			}
		})
	}
}

// Nobody is left who could ask for it, and the user's own prune may not look.
func TestWallsOfAKilledUsersRunComeDown(t *testing.T) {
	u := newEngineUser(t)
	r := u.start(t)
	if len(u.walls(t)) == 0 {
		t.Fatal("control: there are no walls to come down")
	}
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing to be left of the killed run", time.Minute, func() bool { return leftOf(u.home) == "" })
}

// pickyEngine is an engine that refuses a container whose name ends so.
func pickyEngine(t *testing.T, u engineUser, refused string) (host string) {
	t.Helper()
	path := filepath.Join(u.dir, "docker.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", engineSocket)
	}}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	forward.Transport, forward.FlushInterval = transport, -1
	forward.ErrorLog = log.New(io.Discard, "", 0)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Query().Get("name"), refused) {
			http.Error(w, `{"message": "not on this machine"}`, http.StatusForbidden)
			return
		}
		forward.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); transport.CloseIdleConnections() })
	return "unix://" + path
}

func TestHostWallsThatCannotBeHadEndARunThatRequiresThem(t *testing.T) {
	u := newEngineUser(t)
	u.env = append(u.env, "DOCKER_HOST="+pickyEngine(t, u, "-keeper"))
	r := u.start(t, "--host-walls=auto")
	if len(u.walls(t)) != 0 || !strings.Contains(r.out.String(), "without the second ones on the host: ") || !strings.Contains(r.out.String(), "not on this machine") {
		t.Errorf("control: it goes on without: %q %s", u.walls(t), r.out)
	}
	r.stdin.Close()
	until(t, "nothing to be left", time.Minute, func() bool { return leftOf(u.home) == "" })
	var said bytes.Buffer
	cmd := u.command("run", "--isolation=container", "--host-walls=require", "--", "sh", "-c", "echo in the box")
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 125 ||
		!strings.Contains(said.String(), "av: error: no walls on the host: ") || strings.Contains(said.String(), "in the box") {
		t.Errorf("got %v: %s", err, &said)
	}
	if left := leftOf(u.home); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
