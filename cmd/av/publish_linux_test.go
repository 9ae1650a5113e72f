package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// answering is a server of the box. It says who it is, repeats what it hears until no
// more comes, and says goodbye.
const answering = `python3 -c '
import os, socket, threading
def serve(c):
    c.sendall(b"the-box\n")
    while data := c.recv(65536): c.sendall(data)
    c.sendall(b"bye"); c.close()
l = socket.create_server(("127.0.0.1", 3000)); print("ready", flush=True)
while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
' & `

var publishedAt = regexp.MustCompile(`published 127\.0\.0\.1:(\d+) \(port (\d+) of the box\)`)

// publishing starts a run that publishes a port somebody serves and one that nobody does.
func publishing(t *testing.T, av string, env []string, flags ...string) (r running, ports map[string]string) {
	t.Helper()
	args := append([]string{"run", "--isolation=container", "--publish", "3000:0", "--publish", "4000:0"}, flags...)
	r = begin(t, av, env, append(args, "--", "bash", "-c", answering+"while read line; do eval \"$line\"; done; kill %1")...)
	until(t, "the box", 3*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready\n") })
	ports = map[string]string{}
	for _, m := range publishedAt.FindAllStringSubmatch(r.out.String(), -1) {
		ports[m[2]] = m[1]
	}
	if len(ports) != 2 {
		t.Fatalf("it does not say which: %s", r.out)
	}
	return r, ports
}

func TestPublishedPortIsReachedFromThisMachine(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	receipt := filepath.Join(t.TempDir(), "receipt.json")
	r, ports := publishing(t, av, env, "--receipt", receipt)
	conn, err := net.Dial("tcp4", "127.0.0.1:"+ports["3000"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	long := strings.Repeat("0123456789abcdef", 64<<10) // more than any window on the way
	go func() {
		_, _ = io.WriteString(conn, long)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "the-box\n"+long+"bye" {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	// What nobody serves is refused, as by the port itself.
	unserved, err := net.Dial("tcp4", "127.0.0.1:"+ports["4000"])
	if err != nil {
		t.Fatal(err)
	}
	defer unserved.Close()
	_ = unserved.SetDeadline(time.Now().Add(time.Minute))
	if n, err := unserved.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("a port that nobody serves: %d, %v", n, err)
	}
	r.stdin.Close()
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, r.out)
	}
	got, text := readReceipt(t, receipt)
	if len(got.Published) != 2 || got.Published[0].Connections != 1 || got.Published[1].Connections != 1 ||
		got.Published[0].BytesIn != int64(len(long)) || got.Published[0].BytesOut != int64(len(long))+11 || got.Published[1].BytesOut != 0 {
		t.Errorf("the receipt says %s", text)
	}
	if _, err := net.DialTimeout("tcp4", "127.0.0.1:"+ports["3000"], 5*time.Second); err == nil {
		t.Error("the port is open after the run")
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// tries reaches for a port in ways that a container has, and tells which did.
func tries(port string, addresses ...string) string {
	var script strings.Builder
	for _, a := range append(addresses, "127.0.0.1", "$(ip -4 route 2>/dev/null | awk '/default/ { print $3 }')") {
		fmt.Fprintf(&script, "timeout 5 bash -c 'exec 3<>/dev/tcp/'\"%s\"'/%s; timeout 2 head -c 8 <&3' 2>/dev/null\n", a, port)
	}
	return script.String() + "echo tried"
}

func TestPublishedPortIsOutOfReachOfEveryBox(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	image := baseImage(t, env, av)
	r, ports := publishing(t, av, env)
	bridge := docker(t, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
	if bridge == "" {
		bridge = "172.17.0.1"
	}
	script := tries(ports["3000"], bridge)
	another := exec.Command(av, "run", "--isolation=container", "--quiet", "--", "bash", "-c", script)
	another.Env, another.Dir = env, t.TempDir()
	out, err := another.CombinedOutput()
	if err != nil || strings.Contains(string(out), "the-box") || !strings.Contains(string(out), "tried") {
		t.Errorf("another box: %v: %s", err, out)
	}
	if out := docker(t, "run", "--rm", image, "bash", "-c", script); strings.Contains(out, "the-box") {
		t.Errorf("an ordinary container: %s", out)
	}
	if out := docker(t, "run", "--rm", "--network", "host", image, "bash", "-c", script); !strings.Contains(out, "the-box") {
		t.Errorf("control: on the host's network it is reached: %s", out)
	}
	r.stdin.Close()
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, r.out)
	}
}

// A port that is published leads into the box, and not out of it.
func TestPublishedPortLeadsToNoServiceOfTheHost(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	image := baseImage(t, env, av)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "the host")
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	r, ports := publishing(t, av, env)
	script := tries(port) + "; " + tries(ports["3000"]) + "; echo all"
	_, _ = io.WriteString(r.stdin, strings.ReplaceAll(script, "\n", "; ")+"\n")
	until(t, "the tries", time.Minute, func() bool { return strings.Contains(r.out.String(), "\nall\n") })
	if strings.Contains(r.out.String(), "the host") || strings.Contains(r.out.String(), "the-box") {
		t.Errorf("it got %s", r.out)
	}
	if out := docker(t, "run", "--rm", "--network", "host", image, "bash", "-c", tries(port)); !strings.Contains(out, "the host") {
		t.Errorf("control: %s", out)
	}
}

func TestPortThatIsTakenEndsTheRunBeforeAnythingIsMade(t *testing.T) {
	dir, env, av := home(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	cmd := exec.Command(av, "run", "--isolation=container", "--publish", "3000:"+port, "--", "true")
	cmd.Env, cmd.Dir = env, t.TempDir()
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 125 ||
		!strings.HasPrefix(string(out), "av: error: port "+port+" of this machine is taken already\nav: hint: name another") {
		t.Errorf("%v: %s", err, out)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
