package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
)

// local is a TCP server on this machine's loopback. It answers a request, repeats any other line, and notes what it was
// told and that a connection ended.
func local(t *testing.T) (port int, told *syncBuffer) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told = &syncBuffer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				request := false
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					_, _ = io.WriteString(told, lines.Text()+"\n")
					request = request || strings.HasSuffix(lines.Text(), " HTTP/1.1")
					switch {
					case !request:
						_, _ = io.WriteString(conn, lines.Text()+"\n")
					case lines.Text() == "":
						_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\nserved\n")
						return
					}
				}
				_, _ = io.WriteString(told, "ended\n")
			}()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).Port, told
}

// TestHostServiceIsOneEndpointOfTheHostAndNoMore grants one of two servers of the host's loopback to a box whose policy is
// open otherwise, so that nothing but the grant and the walls is what is tried.
func TestHostServiceIsOneEndpointOfTheHostAndNoMore(t *testing.T) {
	t.Parallel()
	require.Net(t)
	dir, env, av := home(t)
	internet, err := fakenet.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = internet.Close() })
	w := &attackWorld{internet: internet, dir: filepath.Dir(dir), env: withRelay(env, "bridge"), av: av} // which has a gateway
	w.write(t, "resolv.conf", "nameserver "+fakenet.DNSAddr.String()+"\n")
	port, told := local(t)
	otherPort, otherTold := local(t)
	asked := newMarker()
	script := fmt.Sprintf(`P=%d O=%d
		GW=$(python3 -c 'import ipaddress, struct
for f in map(str.split, open("/proc/net/route")):
    if f[0] == "eth0" and f[1] != "00000000": print(ipaddress.ip_address(struct.pack("<I", int(f[1], 16))) + 1)')
		[ "$GW" ] || echo "av: error: there is no gateway to try"
		say() { timeout 20 bash -c 'exec 3<>/dev/tcp/'"$1/$2"'; echo '"$3"' >&3; read -t 10 line <&3; echo "heard $line"'; }
		say pg.host $P by-name
		curl -sS -m 20 http://pg.host:$P/by-url 2>&1; echo
		curl -sS -m 20 --noproxy '*' http://PG.host.:$P/past-the-proxy 2>&1; echo
		for h in pg.host db.host %s.host $GW host.docker.internal; do say $h $O attack-$h; done
		for h in db.host a.pg.host host %s.host 127.0.0.1 localhost $GW [::1] [::ffff:127.0.0.1] [::ffff:$GW]; do
			curl -sS -m 20 --noproxy '' -x http://127.0.0.1:14322 http://$h:$P/attack 2>&1 | head -c 300
			curl -sS -m 20 -p --noproxy '' -x http://127.0.0.1:14322 http://$h:$P/attack-$h 2>&1 | head -c 300; done
		curl -sS -m 20 https://%s.test/ 2>&1
		exec 4<>/dev/tcp/pg.host/$P; echo held >&4; read -t 20 line <&4; echo ready; read; true`, port, otherPort, asked, asked, asked)
	receipt := filepath.Join(w.dir, "receipt.json")
	cmd := w.run(t, 1000, script, "--unmatched=allow", "--receipt", receipt, "--host-service", fmt.Sprintf("pg=localhost:%d", port))
	out := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(out)
		}
	})
	until(t, "the box", 2*time.Minute, func() bool {
		if strings.Contains(out.String(), "av: error") {
			t.Fatal("there is no box")
		}
		return strings.Contains(out.String(), "ready\n")
	})
	until(t, "what the box holds open", time.Minute, func() bool { return strings.Contains(told.String(), "held\n") })
	before := strings.Count(told.String(), "ended\n")
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, "the end of what it held open", time.Minute, func() bool { return strings.Count(told.String(), "ended\n") > before })
	got := told.String()
	for _, want := range []string{"by-name\n", "GET /by-url HTTP/1.1\nHost: pg.host:", "GET /past-the-proxy HTTP/1.1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the server was not told %q but %q: %s", want, got, out)
		}
	}
	if strings.Contains(got, "attack") || otherTold.String() != "" {
		t.Errorf("by another way the servers were told %q and %q", got, otherTold)
	}
	if strings.Contains(strings.ToLower(got), "proxy-") || strings.Contains(strings.ToLower(got), "authorization") {
		t.Errorf("the server was told of av: %q", got)
	}
	if !strings.Contains(out.String(), "this run was given no host service db.host:") || !strings.Contains(out.String(), fmt.Sprintf("; host services: pg.host:%d is 127.0.0.1:%d", port, port)) {
		t.Errorf("av says %s", out)
	}
	// A name in .host is not looked up; the control is one that is.
	for name, want := range map[string]bool{asked + ".host": false, asked + ".test": true} {
		seen := false
		for _, s := range internet.Sinks().Seen(name) {
			seen = seen || s.Kind == fakenet.DNS
		}
		if seen != want {
			t.Errorf("%s was looked up: %v, want %v", name, seen, want)
		}
	}
	var r struct {
		HostServices []struct{ Name, Address string } `json:"host_services"`
	}
	content, err := os.ReadFile(receipt)
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil || len(r.HostServices) != 1 || r.HostServices[0].Name != "pg" || r.HostServices[0].Address != fmt.Sprintf("127.0.0.1:%d", port) {
		t.Errorf("receipt: %v: %s", err, content)
	}
	// Another run of the same vault has no part in it. Control: with a grant of its own it reaches the other server.
	again := fmt.Sprintf("curl -sS -m 20 http://pg.host:%d/another 2>&1; curl -sS -m 20 http://own.host:%d/another", port, otherPort)
	w.env = env // the usual way to av
	second := w.run(t, 1000, again, "--unmatched=allow", "--host-service", fmt.Sprintf("own=127.0.0.1:%d", otherPort))
	text, err := second.CombinedOutput()
	if err != nil || strings.Contains(told.String(), "/another") || !strings.Contains(otherTold.String(), "/another") {
		t.Errorf("another run: %v, %q, %q: %s", err, told, otherTold, text)
	}
}

// On the host a command finds the same name behind its proxy, and nowhere when the run has ended.
func TestHostServiceIsThereForACommandOnTheHost(t *testing.T) {
	_, env, av := home(t)
	port, told := local(t)
	r := begin(t, av, env, "run", "--unmatched=deny", "--host-service", fmt.Sprintf("pg=127.0.0.1:%d", port), "--", "sh", "-c",
		fmt.Sprintf(`curl -sS -m 20 http://pg.host:%d/by-url; curl -sS -m 20 http://db.host:%d/ 2>&1; echo; echo ready; read line`, port, port))
	until(t, "the run", time.Minute, func() bool { return strings.Contains(r.out.String(), "ready\n") })
	r.stdin.Close()
	_ = r.cmd.Wait()
	if !strings.Contains(told.String(), "GET /by-url") || !strings.Contains(r.out.String(), "this run was given no host service db.host:") {
		t.Errorf("the server was told %q: %s", told, r.out)
	}
}
