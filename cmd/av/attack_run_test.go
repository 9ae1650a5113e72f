package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/vault"
)

// hostRun starts a command on the host, and returns its run and the proxy it was given.
func hostRun(t *testing.T, av string, env []string) (running, *url.URL) {
	t.Helper()
	r := begin(t, av, env, "run", "--unmatched=deny", "--", "sh", "-c", `echo "proxy $HTTPS_PROXY ready"; read line`)
	until(t, "the run", time.Minute, func() bool { return strings.Contains(r.out.String(), " ready\n") })
	_, said, _ := strings.Cut(r.out.String(), "proxy ")
	proxy, err := url.Parse(strings.Fields(said)[0])
	if err != nil {
		t.Fatal(err)
	}
	return r, proxy
}

// ask sends a CONNECT to a proxy as whoever has the token, and returns the status.
func ask(t *testing.T, proxy string, who *url.Userinfo) int {
	t.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	password, _ := who.Password()
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(who.Username(), password)
	fmt.Fprintf(conn, "CONNECT nowhere.test:443 HTTP/1.1\r\nHost: nowhere.test:443\r\nProxy-Authorization: %s\r\n\r\n", r.Header.Get("Authorization"))
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// One vault knows both runs, and yet the token of the one is nothing to the proxy of the
// other, alive or dead. Who tries it is in the records.
func TestTokenOfOneRunIsNothingToTheProxyOfAnother(t *testing.T) {
	dir, env, av := home(t)
	first, mine := hostRun(t, av, env)
	second, other := hostRun(t, av, env)
	defer second.stdin.Close() // which ends it; so it is there until then
	for _, control := range []*url.URL{mine, other} {
		if got := ask(t, control.Host, control.User); got != http.StatusForbidden {
			t.Fatalf("control: a run's own token: %d", got)
		}
	}
	if got := ask(t, other.Host, mine.User); got != http.StatusProxyAuthRequired {
		t.Errorf("the living run's token: %d", got)
	}
	if got := ask(t, mine.Host, other.User); got != http.StatusProxyAuthRequired {
		t.Errorf("the other's token: %d", got)
	}
	first.stdin.Close()
	_ = first.cmd.Wait()
	if got := ask(t, other.Host, mine.User); got != http.StatusProxyAuthRequired {
		t.Errorf("the dead run's token: %d", got)
	}
	if conn, err := net.Dial("tcp", mine.Host); err == nil {
		conn.Close()
		t.Error("the dead run's proxy still listens")
	}
	v, err := vault.Open(t.Context(), vault.Options{Home: dir, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	refused := 0
	until(t, "the records", time.Minute, func() bool {
		entries, err := v.Requests(t.Context(), vault.Owner(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		refused = 0
		for _, e := range entries {
			if e.Status == http.StatusProxyAuthRequired && !e.Allowed && e.Session == "" {
				refused += max(e.Count, 1)
			}
		}
		return refused >= 3
	})
	if refused != 3 {
		t.Errorf("%d refusals are recorded, want 3", refused)
	}
}

// docker runs the engine's client and returns what it says.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// A neighbour is another run's box, which has its own gate, or a container that somebody
// puts into the run's network, which has none.
func TestNeighbourReachesNeitherTheBoxNorItsProxy(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	env = withRelay(env, "bridge") // a box on no network has no neighbours
	image := baseImage(t, env, av)
	const serve = `python3 -c 'import socket
s = socket.create_server(("0.0.0.0", 8000))
while True:
    c, _ = s.accept(); c.recv(4096); c.sendall(b"HTTP/1.0 200 OK\r\n\r\nthe-neighbours"); c.close()'`
	box := start(t, av, env, "("+serve+` &)
		until curl -sS --noproxy '*' http://127.0.0.1:8000/ 2>/dev/null | grep -q the-neighbours; do sleep 0.1; done; echo ready; read`)
	defer box.stdin.Close()
	owner, err := netiso.KnownOwner(dir)
	if err != nil {
		t.Fatal(err)
	}
	network := docker(t, "network", "ls", "-q", "--filter", "label=av.owner="+owner)
	gateway := docker(t, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network)
	address, _, _ := strings.Cut(docker(t, "network", "inspect", "-f", "{{range .Containers}}{{.IPv4Address}} {{end}}", network), "/")
	listening, err := exec.Command("ss", "-Hltn", "src", gateway).Output()
	if err != nil || len(strings.Fields(string(listening))) < 4 {
		t.Fatalf("find the relay at %s: %v: %s", gateway, err, listening)
	}
	relay := strings.Fields(string(listening))[3]
	if address == "" {
		t.Fatal("the box has no address")
	}
	port := strings.TrimPrefix(relay, gateway+":")
	tries := fmt.Sprintf(`curl -sS -m 5 --noproxy '*' http://%s:8000/ 2>&1
		curl -sS -m 5 -x http://%s https://nowhere.test/ 2>&1
		curl -sS -m 5 -x https://%s --proxy-insecure https://nowhere.test/ 2>&1
		timeout 5 bash -c 'exec 3<>/dev/tcp/%s/%s; printf "CONNECT nowhere.test:443 HTTP/1.1\r\n\r\n" >&3; cat <&3' 2>&1; echo tried`, address, relay, relay, gateway, port)
	judge := func(who, out string) {
		t.Helper()
		if !strings.Contains(out, "tried") || strings.Contains(out, "the-neighbours") || strings.Contains(out, "policy does not let") || strings.Contains(out, " 200 ") {
			t.Errorf("%s: %s", who, out)
		}
	}
	// With an open policy, so that the walls and the egress guard are what is tried.
	other := exec.Command(av, "run", "--isolation=container", "--unmatched=allow", "--", "bash", "-c", tries)
	other.Env, other.Dir = env, t.TempDir()
	out, err := other.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	judge("another run's box", string(out))
	judge("a container in its network", docker(t, "run", "--rm", "--network", network, image, "bash", "-c", tries))
	// The host itself may connect, and without the run's certificate has no identity.
	proxy := exec.Command("curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_connect}", "-x", "https://"+relay, "--proxy-insecure", "https://nowhere.test/")
	if out, _ := proxy.Output(); string(out) != "407" {
		t.Errorf("without a certificate the relay answers %s", out)
	}
	// Control: in a network without our walls the same service is reached.
	plain := "av-control-" + strings.ToLower(rand.Text()[:8])
	docker(t, "network", "create", "--internal", plain)
	defer exec.Command("docker", "network", "rm", plain).Run()
	served := docker(t, "run", "-d", "--rm", "--network", plain, image, "bash", "-c", serve)
	defer exec.Command("docker", "kill", served).Run()
	at := docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", served)
	reached := docker(t, "run", "--rm", "--network", plain, image, "bash", "-c",
		"for i in $(seq 100); do curl -sS -m 5 http://"+at+":8000/ 2>/dev/null && break; sleep 0.1; done; true")
	if !strings.Contains(reached, "the-neighbours") {
		t.Errorf("control: %s", reached)
	}
}

// search looks through every process that is not itself: what it was started with, and
// all of its memory; and then through all files. The words come in halves, so that what
// tells of them does not hold them.
const search = `
import glob, os, sys
words = {name: (a + b).encode() for name, a, b in (w.split(",") for w in sys.argv[1:])}
def look(where, data):
    for name, word in words.items():
        if word in data: print("found", name, "in", where)
for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()):
    for path in glob.glob(f"/proc/{pid}/environ") + glob.glob(f"/proc/{pid}/cmdline") + glob.glob(f"/proc/{pid}/task/*/environ"):
        try: look("process", open(path, "rb").read())
        except OSError: pass
    try:
        memory = open(f"/proc/{pid}/mem", "rb", 0)
        for line in open(f"/proc/{pid}/maps"):
            area, mode = line.split()[:2]
            if "r" not in mode: continue
            start, end = (int(x, 16) for x in area.split("-"))
            try:
                memory.seek(start)
                look("memory", memory.read(end - start))
            except (OSError, OverflowError, ValueError): pass
    except OSError as e: print("unread", pid, e)
for top, dirs, files in os.walk("/"):
    if top == "/": dirs[:] = [d for d in dirs if d not in ("proc", "sys")]
    for name in files:
        path = os.path.join(top, name)
        try:
            if os.path.isfile(path) and not os.path.islink(path): look("file", open(path, "rb").read())
        except OSError: pass
print("searched")
`

// The agent may be root in its box and read all that is there; and what the engine and
// the process list tell anybody on the host is no secret either.
func TestNoSecretIsInTheBoxOrInWhatTheHostShows(t *testing.T) {
	t.Parallel()
	w := newReach(t)
	dir, env, av, secret := w.home, withRelay(w.env, "bridge"), w.av, w.internet.API().Secret()
	w.as("credential", "set", "TOKEN="+secret)
	w.services(fmt.Sprintf("  - {name: vendor, host: %s, auth: {type: bearer, token: TOKEN}, upstream: {address: \"%s:443\"}}\n", fakenet.APIName, fakenet.APIAddr))
	words := map[string]string{"secret": secret, "bait": "b41t-" + rand.Text(), "key": authorityKey(t, dir)}
	halves := ""
	for name, word := range words {
		halves += fmt.Sprintf(" %s,%s,%s", name, word[:8], word[8:])
	}
	since := time.Now().Add(-time.Second)
	// By then the credential has gone out once. The bait is in a process that stays.
	r := running{cmd: exec.Command(av, "run", "--isolation=container", "--env", "BAIT="+words["bait"], "--", "bash", "-c",
		"echo $BAIT >bait; curl -sS https://"+fakenet.APIName+"/v1/hello; python3 -c "+quote(search)+halves+"; echo ready; read"), out: &syncBuffer{}}
	r.cmd.Env, r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = env, t.TempDir(), r.out, r.out
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() }()
	until(t, "the search", 4*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready\n") })
	if !strings.Contains(r.out.String(), `{"hello":"world"}`) {
		t.Errorf("control: the credential was not used: %s", r.out)
	}
	var found []string
	for line := range strings.Lines(r.out.String()) {
		if strings.HasPrefix(line, "found ") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if want := []string{"found bait in file", "found bait in memory", "found bait in process"}; !slices.Equal(found, want) || !strings.Contains(r.out.String(), "searched\n") {
		t.Errorf("in the box: %q, want %q; it says\n%s", found, want, r.out)
	}

	owner, err := netiso.KnownOwner(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shown := map[string]string{}
	for name, command := range map[string][]string{
		"the process list": {"ps", "auxww"},
		"docker inspect":   append([]string{"docker", "inspect"}, strings.Fields(docker(t, "ps", "-aq", "--filter", "label=av.owner="+owner))...),
		"the networks":     append([]string{"docker", "network", "inspect"}, strings.Fields(docker(t, "network", "ls", "-q", "--filter", "label=av.owner="+owner))...),
		"docker events":    {"docker", "events", "--since", fmt.Sprint(since.Unix()), "--until", fmt.Sprint(time.Now().Unix() + 1)},
		"the images":       {"docker", "history", "--no-trunc", baseImageID(t)},
	} {
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if err != nil || len(out) == 0 {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		shown[name] = string(out)
		for _, word := range []string{words["secret"], words["key"], "PRIVATE KEY"} {
			if strings.Contains(string(out), word) {
				t.Errorf("%s shows %.12s…", name, word)
			}
		}
	}
	// Control: what is in a command line and a variable is seen there.
	for _, name := range []string{"the process list", "docker inspect"} {
		if !strings.Contains(shown[name], words["bait"]) {
			t.Errorf("control: %s does not show the bait", name)
		}
	}
}

// authorityKey is a line of the CA's private key as it would stand in a file.
func authorityKey(t *testing.T, dir string) string {
	t.Helper()
	v, err := vault.Open(t.Context(), vault.Options{Home: dir, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	_, key, err := v.Authority(t.Context(), vault.Owner())
	if err != nil {
		t.Fatal(err)
	}
	text := key.Open()
	if block, _ := pem.Decode(text); block == nil {
		text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
	}
	return strings.Split(string(text), "\n")[1]
}

func baseImageID(t *testing.T) string {
	t.Helper()
	id, _, _ := strings.Cut(docker(t, "image", "ls", "-q", "--filter", "label=av.image=av-base"), "\n")
	return id
}

// Through each of these a process of the box could ask one of the user's own to act.
func TestSocketsOfTheUsersSessionAreNotInTheBox(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	image := baseImage(t, env, av)
	name := "av-" + rand.Text()
	socket, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	variables := []string{"SSH_AUTH_SOCK", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY",
		"XDG_RUNTIME_DIR", "VSCODE_IPC_HOOK_CLI", "VSCODE_GIT_IPC_HANDLE", "DOCKER_HOST", "CONTAINER_HOST", "KUBECONFIG"}
	script := fmt.Sprintf(`env | grep -E '^(%s)='; grep %s /proc/net/unix
		python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("\0%s"); print("connected")' 2>/dev/null
		find / -xdev -type s 2>/dev/null; echo tried`, strings.Join(variables, "|"), name, name)
	inside := slices.Clone(env)
	for _, v := range variables {
		if v != "DOCKER_HOST" { // which av itself reads
			inside = append(inside, v+"=/run/"+name)
		}
	}
	box := exec.Command(av, "run", "--isolation=container", "--", "bash", "-c", script)
	box.Env, box.Dir = inside, t.TempDir()
	if out, err := box.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "tried\n") {
		t.Errorf("the box has %s (%v)", out, err)
	}
	if out := docker(t, "run", "--rm", "--network", "host", "--env", "SSH_AUTH_SOCK="+name, image, "bash", "-c", script); !strings.Contains(out, "SSH_AUTH_SOCK=") || !strings.Contains(out, "connected") {
		t.Errorf("control: %s", out)
	}
}
