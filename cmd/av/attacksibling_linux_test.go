package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/fakenet"
)

// boxed is a box under way whose script is spoken to by files in its workspace: they are there however av fares.
type boxed struct {
	running
	address, gateway string
	relay            string // address and port
	gate, name       string // the gate's container
}

// begin starts a box and returns when it has made the file "ready".
func (w *attackWorld) begin(t *testing.T, script string) boxed {
	t.Helper()
	b := boxed{running: running{cmd: w.run(t, 0, script), out: &syncBuffer{}}}
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.cmd.Process.Kill(); _ = b.cmd.Wait() })
	b.await(t, "ready")
	return b
}

// await waits for a file that the box makes.
func (b boxed) await(t *testing.T, name string) {
	t.Helper()
	until(t, "the box to make "+name, 2*time.Minute, func() bool {
		_, err := os.Stat(filepath.Join(b.cmd.Dir, name))
		return err == nil
	})
}

// tell makes a file that the box waits for, and heard gives what it wrote into one.
func (b boxed) tell(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.cmd.Dir, name), nil, 0o666); err != nil {
		t.Fatal(err)
	}
}

func (b boxed) heard(name string) string {
	out, _ := os.ReadFile(filepath.Join(b.cmd.Dir, name)) // nothing is an answer too
	return string(out)
}

// locate finds a box's addresses, from outside: the newest gate of this home.
func (w *attackWorld) locate(t *testing.T, b *boxed) {
	t.Helper()
	owner, err := netiso.KnownOwner(filepath.Join(w.dir, "home"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := exec.Command("docker", "ps", "-q", "--latest", "--filter", "label=av.owner="+owner, "--filter", "name=-gate$").Output()
	if err != nil {
		t.Fatal(err)
	}
	format := "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}"
	b.gate = strings.TrimSpace(string(id))
	out, err := exec.Command("docker", "inspect", "--format", format, b.gate).CombinedOutput()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) == 0 {
		t.Fatalf("the gate: %v: %s", err, out)
	}
	if b.name = strings.TrimPrefix(fields[0], "/"); len(fields) == 1 {
		return // it is on no network
	}
	b.address, b.gateway = fields[1], fields[2]
	listeners, err := exec.Command("ss", "-Hltn", "src", b.gateway).Output()
	if err != nil || len(strings.Fields(string(listeners))) < 4 {
		t.Fatalf("the relay: %v: %q", err, listeners)
	}
	b.relay = strings.Fields(string(listeners))[3]
}

// server listens on every address of its container, by TCP and UDP, and writes down what comes.
const server = `ncat -k -l 0.0.0.0 7000 >>heard & socat -u UDP-RECVFROM:7001,fork OPEN:heard,creat,append &
	until ss -Hltun | grep -q :7000 && ss -Hltun | grep -q :7001; do sleep 0.1; done
`

// visit tries a box's servers, and its way to the proxy, from elsewhere.
func visit(b boxed, marker string) string {
	return fmt.Sprintf(`echo %[1]s | ncat -w 3 %[2]s 7000 & echo %[1]s | socat - UDP:%[2]s:7001 &
		curl -sS -m 5 --noproxy '' --proxy-insecure -k -x https://%[3]s https://%[4]s/v1/hello?%[1]s &
		curl -sS -m 5 --noproxy '' -x http://%[3]s http://%[4]s/v1/hello?%[1]s &
		curl -sS -m 5 --noproxy '' -x http://%[2]s:%[5]d http://%[4]s/v1/hello?%[1]s &
		wait; echo visited`, marker, b.address, b.relay, fakenet.APIName, netiso.ProxyPort)
}

func TestBoxIsOutOfReachOfItsNeighbours(t *testing.T) {
	w := newAttackWorld(t)
	w.env = withRelay(w.env, "bridge") // another has no address that a neighbour could try
	box := w.begin(t, server+`touch ready; until [ -e own ]; do sleep 0.1; done
		echo $(cat own-marker) | ncat -w 3 $(hostname -i) 7000; curl -sS -m 20 https://`+fakenet.APIName+`/v1/hello?$(cat own-marker); touch done
		until [ -e end ]; do sleep 0.1; done`)
	w.locate(t, &box)
	reached := func(marker string) (what string) {
		if strings.Contains(box.heard("heard"), marker) {
			what = "the box's server heard it; "
		}
		if n := len(w.internet.API().Requests(marker)); n > 0 {
			what += "its relay carried it"
		}
		return what
	}
	for name, from := range map[string]func(script string) (string, error){
		"another box of the same user": func(script string) (string, error) {
			out, err := w.run(t, 0, script).CombinedOutput()
			return string(out), err
		},
		"an ordinary container":             func(script string) (string, error) { return w.plain(script, "--network", w.open) },
		"a container on the host's network": func(script string) (string, error) { return w.plain(script, "--network", "host") },
	} {
		t.Run("from "+name, func(t *testing.T) {
			marker := newMarker()
			out, err := from(visit(box, marker))
			if err != nil || !strings.Contains(out, "visited") {
				t.Fatalf("%v: %s", err, out)
			}
			if what := reached(marker); what != "" {
				t.Errorf("LEAKED: %s\n%s", what, out)
			}
		})
	}
	t.Run("the relay wants the run's own certificate", func(t *testing.T) { relayWithoutIdentity(t, w, box) })
	// The same servers are heard where no wall is between, and the same relay carries what is the run's.
	marker := newMarker()
	if err := os.WriteFile(filepath.Join(box.cmd.Dir, "own-marker"), []byte(marker), 0o644); err != nil {
		t.Fatal(err)
	}
	box.tell(t, "own")
	box.await(t, "done")
	if what := reached(marker); !strings.Contains(what, "heard") || !strings.Contains(what, "carried") {
		t.Errorf("control: from within, %q: %s", what, box.out)
	}
	box.tell(t, "end")
	if err := box.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, box.out)
	}
	if conn, err := net.DialTimeout("tcp", box.relay, 5*time.Second); err == nil {
		conn.Close()
		t.Error("the relay of a run that is over still takes connections")
	}
	t.Run("control: neighbours without walls", func(t *testing.T) { w.neighbours(t) })
}

// relayWithoutIdentity shows that it is the missing certificate that refuses, and not a missing route.
func relayWithoutIdentity(t *testing.T, w *attackWorld, box boxed) {
	met := false
	conn, err := tls.Dial("tcp", box.relay, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error {
		met = true
		return nil
	}})
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		marker := newMarker()
		fmt.Fprintf(conn, "GET https://%s/v1/hello?%s HTTP/1.1\r\nHost: %s\r\n\r\n", fakenet.APIName, marker, fakenet.APIName)
		var answer *http.Response
		if answer, err = http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			if answer.StatusCode != http.StatusProxyAuthRequired {
				t.Errorf("it answered %s", answer.Status)
			}
		}
		if n := len(w.internet.API().Requests(marker)); n > 0 {
			t.Error("LEAKED: it was carried")
		}
	}
	if !met {
		t.Errorf("the relay was not even met: %v", err)
	}
}

// neighbours are two ordinary containers on one network.
func (w *attackWorld) neighbours(t *testing.T) {
	dir, name := t.TempDir(), "av-control-"+newMarker()
	start := exec.Command("docker", "run", "--rm", "--detach", "--init", "--name", name, "--network", w.inner, "--volume", dir+":/work",
		"--workdir", "/work", w.image, "bash", "-c", server+"touch ready; sleep infinity")
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer exec.Command("docker", "rm", "--force", name).Run()
	there := func(file, words string) func() bool {
		return func() bool {
			content, err := os.ReadFile(filepath.Join(dir, file))
			return err == nil && strings.Contains(string(content), words)
		}
	}
	until(t, "the neighbour", time.Minute, there("ready", ""))
	tcp, udp := newMarker(), newMarker()
	out, err := w.plain(fmt.Sprintf("echo %s | ncat -w 3 %[3]s 7000; echo %[2]s | socat - UDP:%[3]s:7001", tcp, udp, name), "--network", w.inner)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, "TCP from a neighbour", 10*time.Second, there("heard", tcp))
	until(t, "UDP from a neighbour", 10*time.Second, there("heard", udp))
}
