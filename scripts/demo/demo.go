package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/av-project/av/scripts/fakenet"
)

// demo is one showing.
type demo struct {
	ctx      context.Context
	av, dir  string
	internet *fakenet.Net
	secret   string

	during         string // what the machine had of the demo's while a box ran
	checks, failed int
}

// check prints one line in plain words, and whether it holds.
func (d *demo) check(words string, err error) {
	d.checks++
	if err != nil {
		d.failed++
		fmt.Printf("  FAIL  %s: %v\n", words, err)
		return
	}
	fmt.Printf("  ok    %s\n", words)
}

func marker() string { return strings.ToLower(rand.Text()[:12]) }

// command is av, or another program, as the demo runs it: with the fake internet's
// name server for its own, so that the sink sees every look-up on the host too.
func (d *demo) command(name string, args ...string) *exec.Cmd {
	args = append([]string{"--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`,
		filepath.Join(d.dir, "resolv.conf"), name}, args...)
	cmd := exec.CommandContext(d.ctx, "unshare", args...)
	cmd.Dir = filepath.Join(d.dir, "project")
	cmd.Env = append(os.Environ(), "AV_HOME="+filepath.Join(d.dir, "home"))
	return cmd
}

// box runs a shell line in a box, and gives its output and what av said of it.
func (d *demo) box(line string, flags ...string) (out, said string, err error) {
	args := append([]string{"run", "--isolation=container"}, flags...)
	cmd := d.command(d.av, append(args, "--", "bash", "-c", line)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// plain runs a shell line in an ordinary container of the same image.
func (d *demo) plain(line string) error {
	image, err := d.command("docker", "image", "ls", "-q", "--filter", "label=av.image=av-base").Output()
	if err != nil {
		return err
	}
	id, _, _ := strings.Cut(string(image), "\n")
	if id == "" {
		return errors.New("the base image is not there")
	}
	out, err := d.command("docker", "run", "--rm", "--dns", fakenet.DNSAddr.String(), id, "bash", "-c", line).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (d *demo) setUp() {
	for _, name := range []string{"project", "home"} {
		if err := os.Mkdir(filepath.Join(d.dir, name), 0o700); err != nil {
			d.check("make the folders", err)
			return
		}
	}
	resolv := "nameserver " + fakenet.DNSAddr.String() + "\n"
	if err := os.WriteFile(filepath.Join(d.dir, "resolv.conf"), []byte(resolv), 0o644); err != nil {
		d.check("name the name server", err)
		return
	}
	d.check("av init --no-password", d.quietly(d.command(d.av, "init", "--no-password")))
	set := d.command(d.av, "credential", "set", "VENDOR_TOKEN")
	set.Stdin = strings.NewReader(d.secret)
	d.check("av credential set VENDOR_TOKEN", d.quietly(set))
	services := fmt.Sprintf(`services:
  - name: vendor
    host: %s
    auth: {type: bearer, token: VENDOR_TOKEN}
    upstream: {address: "%s:443", ca: ca.pem}
`, fakenet.APIName, fakenet.APIAddr)
	err := errors.Join(
		os.WriteFile(filepath.Join(d.dir, "services.yaml"), []byte(services), 0o600),
		os.WriteFile(filepath.Join(d.dir, "ca.pem"), d.internet.CAPEM(), 0o600))
	if err == nil {
		err = d.quietly(d.command(d.av, "service", "set", "-f", filepath.Join(d.dir, "services.yaml")))
	}
	d.check("av service set -f services.yaml", err)
}

// quietly runs a command and shows what it printed only when it fails.
func (d *demo) quietly(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (d *demo) call() {
	m := marker()
	line := "curl -sS https://" + fakenet.APIName + "/v1/hello?" + m
	fmt.Printf("  $ av run --isolation=container -- sh -c '%s'\n", line)
	out, said, err := d.box(line)
	if err == nil && strings.TrimSpace(out) != `{"hello":"world"}` {
		err = fmt.Errorf("it got %q", out)
	}
	d.check("the agent got its answer", withOutput(err, said))
	seen := d.internet.API().Requests(m)
	err = nil
	if len(seen) != 1 {
		err = fmt.Errorf("the API saw %d requests", len(seen))
	} else if got := seen[0].Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+d.secret {
		err = errors.New("the API saw another credential")
	}
	d.check("the upstream saw the credential", err)
	m = marker()
	_, _, err = d.box("curl -sS -H 'Authorization: Bearer made-up' https://" + fakenet.APIName + "/v1/hello?" + m)
	if seen := d.internet.API().Requests(m); err == nil && (len(seen) != 1 || len(seen[0].Header["Authorization"]) != 1 || seen[0].Header.Get("Authorization") != "Bearer "+d.secret) {
		err = fmt.Errorf("the API saw %v", seen)
	}
	d.check("one that the agent makes up is replaced, not added to", err)
}

// search looks for the credential from inside and from outside while a box runs.
func (d *demo) search() {
	bait := "bait-" + marker()
	if err := os.WriteFile(filepath.Join(d.dir, "project", "bait.txt"), []byte(bait), 0o600); err != nil {
		d.check("lay out a bait", err)
		return
	}
	cmd := d.command(d.av, "run", "--isolation=container", "--", "bash", "-c",
		`cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; env
		 tar -c --ignore-failed-read --exclude=./proc --exclude=./sys -C / . 2>/dev/null
		 echo; echo the-box-"is-searched"; read`)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		d.check("run a box", err)
		return
	}
	inside := newScanner(d.secret, bait, "the-box-is-searched", "HTTPS_PROXY=")
	cmd.Stdout, cmd.Stderr = inside, io.Discard
	if err := cmd.Start(); err != nil {
		d.check("run a box", err)
		return
	}
	inside.await(d.ctx, "the-box-is-searched")
	outside := d.inspect()
	if d.during, err = d.inventory(); err != nil {
		d.check("list what the box has on this machine", err)
	}
	stdin.Close()
	_ = cmd.Wait() // read ends with 1 at the end of its input

	control := func(found bool, what string) error {
		if !found {
			return fmt.Errorf("the search is blind: it did not even find %s", what)
		}
		return nil
	}
	leak := func(s *scanner) error {
		if s.found(d.secret) {
			return errors.New("it is there")
		}
		return nil
	}
	d.check("the search sees the environment and the files (control: a variable and a file that are there)",
		errors.Join(control(inside.found("HTTPS_PROXY="), "a variable"), control(inside.found(bait), "the bait")))
	d.check("the agent's environment, processes and whole file system do not hold it", leak(inside))
	d.check("`docker inspect` of agent, gate and network sees them (control: their labels)", control(outside.found("av.run"), "a label"))
	d.check("`docker inspect` does not hold it", leak(outside))
}

// owner is the name by which the things of the demo's own runs are told from those of
// other runs on this machine.
func (d *demo) owner() string {
	content, err := os.ReadFile(filepath.Join(d.dir, "home", "owner"))
	if err != nil {
		d.check("read the name of the demo's home", err)
	}
	name, _, _ := strings.Cut(string(content), " ")
	return name
}

// inspect gives everything that the engine tells of what carries av's labels.
func (d *demo) inspect() *scanner {
	s := newScanner(d.secret, "av.run")
	for _, list := range [][]string{
		{"ps", "-aq", "--no-trunc", "--filter", "label=av.owner=" + d.owner()},
		{"network", "ls", "-q", "--no-trunc", "--filter", "label=av.owner=" + d.owner()},
	} {
		ids, err := d.command("docker", list...).Output()
		if err != nil {
			d.check("ask docker", err)
			continue
		}
		for _, id := range strings.Fields(string(ids)) {
			cmd := d.command("docker", "inspect", id)
			cmd.Stdout = s
			if err := cmd.Run(); err != nil {
				d.check("docker inspect", err)
			}
		}
	}
	return s
}

func withOutput(err error, said string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\n%s", err, said)
}
