package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/fakenet"
)

// flood asks for 100,000 names, nine in ten of them by UDP, and then opens 5,000
// connections: to the proxy's port and to somewhere else, of which some say nothing, some
// half of what they began, and some are closed at once. It says what it has done.
const flood = `
import errno, select, socket, struct, time
def query(i):
    name = b"".join(bytes([len(l)]) + l for l in (b"n%d" % i, b"flood", b"test")) + b"\0"
    return struct.pack(">6H", i & 65535, 256, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(("127.0.0.1", 53)); udp.setblocking(False)
answers = 0
for i in range(90000):
    try: udp.send(query(i))
    except OSError: pass
    try:
        while True: udp.recv(2048); answers += 1
    except OSError: pass
print("udp", answers > 1000, flush=True)
answers, held = 0, []
for n in range(50):
    c = socket.create_connection(("127.0.0.1", 53)); held.append(c); c.settimeout(20)
    try:
        for i in range(200):
            q = query(90000 + 200 * n + i)
            c.sendall(struct.pack(">H", len(q)) + q)
            if len(c.recv(2048)) > 2: answers += 1
            else: break
    except OSError: pass
print("tcp", answers > 1000, flush=True)
opened = 0
for i in range(5000):
    c = socket.socket(); c.setblocking(False)
    to = ("127.0.0.1", 14322) if i % 2 else ("203.0.113.%d" % (i % 250 + 1), 443)
    if c.connect_ex(to) in (0, errno.EINPROGRESS): opened += 1
    if i % 5 == 0: c.close(); continue
    if i % 5 == 1:
        p = select.poll(); p.register(c, select.POLLOUT); p.poll(10)
        try: c.send(b"CONNECT half.test:443 HTTP/1.1\r\nHo")
        except OSError: pass
    held.append(c)
print("opened", opened, flush=True)
time.sleep(3)
for c in held: c.close()
`

// request is an ordinary one. The first may have to wait for its place among what the
// flood has left in the kernel's queues.
const request = "curl -sS -m 60 https://" + fakenet.APIName + "/v1/hello"

// A killed gate would end its run.
func TestFloodedGateGoesOnAndSoDoesAnotherRun(t *testing.T) {
	r := newReach(t, fakenet.APIName)
	r.as("credential", "set", "TOKEN="+r.internet.API().Secret())
	r.services(fmt.Sprintf("  - {name: vendor, host: %s, auth: {type: bearer, token: TOKEN}, upstream: {address: \"%s:443\"}}\n", fakenet.APIName, fakenet.APIAddr))
	var both sync.WaitGroup
	var beside string
	both.Go(func() {
		beside, _ = r.box("for i in $(seq 20); do " + request + " || echo failed; sleep 0.5; done")
	})
	out, _ := r.box("ulimit -n $(ulimit -H -n); python3 -c "+quote(flood)+"; "+request+"; echo; getent hosts after.the.flood.test; echo over", "--publish", "3000:0")
	both.Wait()
	for _, want := range []string{"udp True\n", "tcp True\n", "opened 5000\n", `{"hello":"world"}`, "after.the.flood.test", "over\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the flooded run does not say %q: %s", want, out)
		}
	}
	if n := strings.Count(beside, `{"hello":"world"}`); n != 20 {
		t.Errorf("beside it %d of 20 requests arrived: %s", n, beside)
	}
}

func TestRunWhoseGateDiesEndsAndSaysSo(t *testing.T) {
	dir, env, av := home(t)
	r := start(t, av, env, "echo ready; sleep 1000")
	owner, err := netiso.KnownOwner(dir)
	if err != nil {
		t.Fatal(err)
	}
	gate := docker(t, "ps", "--filter", "label=av.owner="+owner, "--filter", "name=-gate$", "--format", "{{.Names}}")
	docker(t, "kill", gate)
	ended := make(chan error, 1)
	go func() { ended <- r.cmd.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("the run goes on without its gate")
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 125 ||
		!strings.Contains(r.out.String(), "av: error: the box has no network without its gate: the gate ended with exit code 137") {
		t.Errorf("%v: %s", err, r.out)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
