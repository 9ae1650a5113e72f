package main

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
)

// attackerImage holds the tools that people get data out of networks with.
const attackerImage = `FROM debian:bookworm-slim
RUN apt-get -o APT::Update::Error-Mode=any -o Acquire::Retries=5 update \
 && apt-get -o Acquire::Retries=5 -o DPkg::Options::=--force-unsafe-io install -y --no-install-recommends \
      bind9-dnsutils curl dns2tcp hping3 iodine iproute2 iptables iputils-ping ncat nftables nmap \
      ptunnel-ng python3-scapy socat util-linux \
 && rm -rf /var/lib/apt/lists/*
`

// attackWorld is a fake internet, a vault that knows its API, and av as its user runs it. The host's name server is
// the fake internet's, so that a name which av looks up for an attacker is seen like one that leaves the box.
type attackWorld struct {
	internet  *fakenet.Net
	host      *hostSinks
	wire      *wire
	dir, av   string
	env       []string
	image     string // the attacker's
	open      string // an ordinary network
	openBase  netip.Prefix
	six       string // a network with IPv6, where the engine has it on
	inner     string // an internal network, without our walls
	innerBase netip.Prefix
	// victim is a process of the host's.
	victim     int
	victimName string
}

func newAttackWorld(t *testing.T) *attackWorld {
	t.Helper()
	require.Net(t)
	dir, env, av := home(t)
	internet, err := fakenet.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { internet.Close() })
	w := &attackWorld{internet: internet, host: listenOnHost(t), wire: tapWire(t), dir: filepath.Dir(dir), env: env, av: av, image: attacker(t)}
	w.write(t, "resolv.conf", "nameserver "+fakenet.DNSAddr.String()+"\n")
	w.write(t, "ca.pem", string(internet.CAPEM()))
	w.write(t, "services.yaml", fmt.Sprintf("services:\n  - name: vendor\n    host: %s\n    auth: {type: bearer, token: TOKEN}\n    upstream: {address: \"%s:443\", ca: ca.pem}\n", fakenet.APIName, fakenet.APIAddr))
	for _, args := range [][]string{
		{"credential", "set", "TOKEN=" + internet.API().Secret()},
		{"service", "set", "-f", filepath.Join(w.dir, "services.yaml")},
	} {
		cmd := exec.Command(av, args...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("av %v: %v: %s", args, err, out)
		}
	}
	w.open, w.openBase = controlNetwork(t)
	w.inner, w.innerBase = controlNetwork(t, "--internal")
	w.victim, w.victimName = startVictim(t)
	return w
}

func (w *attackWorld) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// controlNetwork makes a network of the engine's, which is there until the test ends.
func controlNetwork(t *testing.T, flags ...string) (name string, subnet netip.Prefix) {
	t.Helper()
	name = "av-control-" + newMarker()
	if out, err := exec.Command("docker", append(append([]string{"network", "create"}, flags...), name)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "network", "rm", name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	out, err := exec.Command("docker", "network", "inspect", name, "--format", "{{(index .IPAM.Config 0).Subnet}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	return name, netip.MustParsePrefix(strings.TrimSpace(string(out)))
}

func newMarker() string { return strings.ToLower(rand.Text()[:12]) }

// run is av run with the attacker's image, in a workspace that belongs to uid.
func (w *attackWorld) run(t *testing.T, uid int, script string, flags ...string) *exec.Cmd {
	t.Helper()
	if w.image != "" { // else av's own
		flags = append([]string{"--image", w.image}, flags...)
	}
	args := append([]string{w.av, "run", "--isolation=container"}, flags...)
	args = append([]string{"--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, filepath.Join(w.dir, "resolv.conf")}, args...)
	cmd := exec.Command("unshare", append(args, "--", "bash", "-c", script)...)
	cmd.Env, cmd.Dir = w.env, t.TempDir()
	if err := os.Chown(cmd.Dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// plain runs a script in an ordinary container, or in one that lacks the wall that flags take away.
func (w *attackWorld) plain(script string, flags ...string) (string, error) {
	args := append([]string{"run", "--rm", "--init", "--dns", fakenet.DNSAddr.String()}, flags...)
	out, err := exec.Command("docker", append(args, w.image, "bash", "-c", script)...).CombinedOutput()
	return string(out), err
}

func attacker(t *testing.T) string {
	return testImage(t, "av-test-attacker", attackerImage)
}
