package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
	"github.com/av-project/av/vault"
)

// outside is a home whose runs may go to the fake internet, by names that this machine's
// hosts file has for them alone.
type outside struct {
	t        *testing.T
	home     string
	env      []string
	av       string
	internet *fakenet.Net
	dir      string // the runs' workspace; it holds the fake internet's ca.pem
	hosts    string
}

func newReach(t *testing.T, names ...string) *outside {
	t.Helper()
	require.Net(t)
	require.Program(t, "unshare")
	dir, env, av := home(t)
	internet, err := fakenet.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = internet.Close() })
	r := &outside{t: t, home: dir, av: av, internet: internet, dir: t.TempDir(), hosts: filepath.Join(t.TempDir(), "hosts")}
	ca := filepath.Join(r.dir, "ca.pem")
	r.write(ca, string(internet.CAPEM()))
	r.write(r.hosts, fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", fakenet.APIAddr, strings.Join(names, " ")))
	r.env = append(env, "AV_EGRESS_ALLOW=203.0.113.0/24", "AV_UPSTREAM_CA="+ca)
	return r
}

func (r *outside) write(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// as runs av, with the names in place of those of the machine.
func (r *outside) as(args ...string) string {
	r.t.Helper()
	mount := []string{"-m", "--propagation", "private", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, r.hosts, r.av}
	cmd := exec.Command("unshare", append(mount, args...)...)
	cmd.Env, cmd.Dir = r.env, r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("av %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// box runs a script in a box. What av says at its end is the last line.
func (r *outside) box(script string, flags ...string) (out, summary string) {
	r.t.Helper()
	all := r.as(append(append([]string{"run", "--isolation=container"}, flags...), "--", "bash", "-c", script)...)
	i := strings.LastIndex(strings.TrimSpace(all), "\n")
	return all[:i+1], all[i+1:]
}

// services replaces the vault's services.
func (r *outside) services(yaml string) {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "services.yaml")
	r.write(file, "services:\n"+yaml)
	r.as("service", "set", "-f", file)
}

// mail is a server that speaks first, repeats each line, stops speaking when it is told
// "over to you", and notes what it was told then. When it is told no more, it says so.
func (r *outside) mail(port uint16) (said func() string) {
	r.t.Helper()
	ln, err := r.internet.Listen(netip.AddrPortFrom(fakenet.APIAddr, port))
	if err != nil {
		r.t.Fatal(err)
	}
	var conns sync.WaitGroup
	var all syncBuffer
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, "220 hello\n")
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					_, _ = io.WriteString(&all, lines.Text()+"\n")
					if lines.Text() == "over to you" {
						_ = conn.(*net.TCPConn).CloseWrite()
					}
					_, _ = io.WriteString(conn, "250 "+lines.Text()+"\n")
				}
				_, _ = io.WriteString(conn, "221 you are done\n")
			})
		}
	})
	r.t.Cleanup(func() { ln.Close(); conns.Wait() })
	return all.String
}

var suggested = regexp.MustCompile(`to (?:allow|carry it unread), add (--allow \S+)`)

// A client that knows of no proxy and waits for its server has no way to learn what av
// wants of it. Whoever ran it does: each run's last line has the flag for the next.
func TestBytesThatAreNoHTTPPassTheGateWhereTheyAreAllowed(t *testing.T) {
	r := newReach(t, "mail.vendor.test")
	for _, c := range []struct {
		port  uint16
		flags []string // those that av asks for, one after the other
	}{
		{3306, []string{"--allow tcp://mail.vendor.test:3306"}}, // a port that is a database's
		{2525, []string{"--allow mail.vendor.test:2525", "--allow tcp://mail.vendor.test:2525"}},
	} {
		t.Run(fmt.Sprint(c.port), func(t *testing.T) {
			r.t = t
			said := r.mail(c.port)
			dial := fmt.Sprintf("exec 3<>/dev/tcp/mail.vendor.test/%d; ", c.port)
			var flags []string
			for i, want := range c.flags {
				// A refusal is no silence: read would end with more than 128. Where both sides
				// wait for the other to begin, it is.
				wait := []int{60, 3}[i]
				out, summary := r.box(dial+fmt.Sprintf("read -rt %d line <&3; echo \"code $? $line\"", wait), flags...)
				if i == 0 && !strings.Contains(out, "code 1 \n") || strings.Contains(out, "220") {
					t.Errorf("with %q: %s", flags, out)
				}
				found := suggested.FindStringSubmatch(summary)
				if found == nil || found[1] != want || !strings.Contains(summary, fmt.Sprintf(": mail.vendor.test:%d", c.port)) {
					t.Fatalf("with %q the last line is %s", flags, summary)
				}
				flags = strings.Fields(found[1])
			}
			if got := said(); got != "" || len(r.internet.Sinks().Seen(fmt.Sprintf("%s:%d", fakenet.APIAddr, c.port))) > 0 {
				t.Errorf("the server was reached before it was allowed: %q", got)
			}
			out, summary := r.box(dial+`read -r line <&3; echo "first $line"; echo "EHLO $HOSTNAME" >&3; read -r line <&3; echo "then ${line%% *}"
				echo "over to you" >&3; cat <&3; echo "and after the end" >&3; exec 3>&-`, flags...)
			if out != "first 220 hello\nthen 250\n" {
				t.Errorf("the client heard %q", out)
			}
			if !strings.HasSuffix(summary, "1 request to 1 host, none denied\n") {
				t.Errorf("the last line is %s", summary)
			}
			until(t, "the last word", time.Minute, func() bool { return strings.HasSuffix(said(), "over to you\nand after the end\n") })
			// And the other way round: the client has said all, and listens.
			out, _ = r.box(fmt.Sprintf(`python3 -c 'import socket
s = socket.create_connection(("mail.vendor.test", %d), 60)
s.sendall(b"DATA\n")
s.shutdown(socket.SHUT_WR)
while b := s.recv(4096): print(b.decode(), end="")'`, c.port), flags...)
			if out != "220 hello\n250 DATA\n221 you are done\n" {
				t.Errorf("the client heard %q", out)
			}
		})
	}
}

// A client that pins its server's certificate gets it, with and without the proxy's
// variables, and av's nowhere.
func TestPinnedClientPassesTheGate(t *testing.T) {
	// A curl that is given a file looks into the image's folder of authorities too, where av's is.
	r := newReach(t)
	service := fmt.Sprintf(`  - {name: pinned, host: %s, auth: {type: passthrough}, upstream: {address: "%s:443"}`, fakenet.APIName, fakenet.APIAddr)
	fetch := func() (out, summary string) {
		get := "curl -sS -m 60 --cacert ca.pem --capath /var/empty -H 'Authorization: Bearer " + r.internet.API().Secret() + "' https://" + fakenet.APIName + "/v1/hello"
		return r.box(get + "; " + get + " --noproxy '*'; echo")
	}
	r.services(service + ", tls: passthrough}\n")
	out, summary := fetch()
	if strings.Count(out, `{"hello":"world"}`) != 2 || !strings.Contains(summary, "2 requests to 1 host, none denied\n") {
		t.Errorf("%s%s", out, summary)
	}
	// Control: without it the client is shown av's certificate, and does not take it.
	r.services(service + "}\n")
	out, summary = fetch()
	if strings.Contains(out, "hello") || !strings.Contains(summary, "2 tunnels carried nothing: "+fakenet.APIName+":443 (") ||
		strings.Contains(summary, "tcp://") {
		t.Errorf("control: %s%s", out, summary)
	}
}

// What a tunnel failed of stands in the records and in the run's last line, with the
// flag that would help where there is one.
func TestRunSaysWhyItsTunnelsFailed(t *testing.T) {
	names := []string{"ssh.vendor.test", "sni.vendor.test", "trust.vendor.test", "plain.vendor.test", "fine.vendor.test"}
	r := newReach(t, names...)
	flags := []string{}
	for _, name := range names {
		flags = append(flags, "--allow", name)
	}
	_, summary := r.box(`
		(exec 3<>/dev/tcp/ssh.vendor.test/443; echo SSH-2.0-OpenSSH_9.2 >&3; cat <&3)
		curl -sS -m 60 --noproxy '*' --connect-to evil.test:443:sni.vendor.test:443 https://evil.test/
		curl -sS -m 60 --noproxy '*' --cacert ca.pem --capath /var/empty https://trust.vendor.test/
		curl -sS -m 60 --noproxy '*' http://plain.vendor.test:443/
		curl -sS -m 60 --noproxy '*' https://fine.vendor.test/
		(exec 3<>/dev/tcp/fine.vendor.test/443)
		true`, flags...)
	reasons := map[string]string{
		"ssh":   "neither TLS nor HTTP: --allow tcp://ssh.vendor.test:443 carries it",
		"sni":   `the TLS server name "evil.test" is not the tunnel's host`,
		"trust": "may not trust av's certificate",
		"plain": "plain HTTP to the port of HTTPS",
	}
	for name, reason := range reasons {
		_, after, found := strings.Cut(summary, name+".vendor.test:443 (")
		if said, _, _ := strings.Cut(after, ")"); !found || !strings.Contains(said, reason) {
			t.Errorf("the last line has no %q for %s: %s", reason, name, summary)
		}
	}
	if !strings.Contains(summary, ", 3 denied: ") || !strings.Contains(summary, "1 tunnel carried nothing: ") ||
		!strings.Contains(summary, "to carry it unread, add --allow tcp://trust.vendor.test:443\n") || strings.Contains(summary, "fine") {
		t.Errorf("the last line is %s", summary)
	}
	var entries []vault.Entry
	if err := json.Unmarshal([]byte(r.as("logs", "--json")), &entries); err != nil || len(entries) == 0 {
		t.Fatalf("%d records, %v", len(entries), err)
	}
	logs := r.as("logs", "--run", entries[0].Run)
	for name, reason := range reasons {
		found := false
		for line := range strings.Lines(logs) {
			found = found || strings.Contains(line, name+".vendor.test:443") && strings.Contains(line, reason)
		}
		if !found {
			t.Errorf("the log has no %q for %s:\n%s", reason, name, logs)
		}
	}
	if !strings.Contains(logs, "fine.vendor.test:443") {
		t.Errorf("control: the log has not what went well:\n%s", logs)
	}
}
