package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/av-project/av/scripts/fakellm"
	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
)

// agentWorld is a vendor of the fake internet under its real name, a vault that holds the
// vendor's key and nothing else, and a workspace with one file to edit.
type agentWorld struct {
	*outside
	vendor *fakellm.Vendor
	key    string
}

const (
	anthropicHost = "api.anthropic.com"
	openaiHost    = "api.openai.com"
)

func newAgentWorld(t *testing.T, agent, host, credential string, vendor *fakellm.Vendor) agentWorld {
	t.Helper()
	r := newReach(t)
	w := agentWorld{outside: r, vendor: vendor, key: vendor.Key}
	if err := r.internet.Vendor(vendor, host); err != nil {
		t.Fatal(err)
	}
	r.write(r.hosts, fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", fakenet.VendorAddr, host))
	// The fake internet's certificate lies outside of the workspace: all that is there is the agent's.
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.Rename(filepath.Join(r.dir, "ca.pem"), ca); err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, "AV_UPSTREAM_CA="+ca)
	r.write(filepath.Join(r.dir, "fruit.txt"), "apple\n")
	set := exec.Command(r.av, "credential", "set", credential)
	set.Env, set.Stdin = r.env, strings.NewReader(w.key+"\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	buildOnce(t, w, agent)
	return w
}

// buildOnce builds an agent's image where it is not there, so that no run is waited for that
// long. The names of the fake internet are not in its way.
func buildOnce(t *testing.T, w agentWorld, agent string) {
	t.Helper()
	list := exec.Command(w.av, "image", "list", "--json")
	list.Env = w.env
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var built []struct {
		Image   string
		Current bool
	}
	if err := json.Unmarshal(out, &built); err != nil {
		t.Fatal(err)
	}
	for _, b := range built {
		if b.Current && strings.HasPrefix(b.Image, "av-agent-"+agent+":") {
			return
		}
	}
	began := time.Now()
	build := exec.Command(w.av, "image", "build", "--agent", agent)
	build.Env = w.env
	if out, err := build.CombinedOutput(); err != nil {
		require.NPM(t, fmt.Sprintf("%v: %s", err, out[max(0, len(out)-4000):]))
	}
	t.Logf("built the image of %s in %s", agent, time.Since(began).Round(time.Second))
}

// run is av run with nothing said but the command.
func (w agentWorld) run(command ...string) string {
	w.t.Helper()
	return w.as(append([]string{"run", "--isolation=container", "--"}, command...)...)
}

// keyReached tells whether the vendor was asked with its key, and never with another.
func (w agentWorld) keyReached() error {
	good := 0
	for _, ask := range w.vendor.Asks() {
		if ask.Status == 401 {
			return fmt.Errorf("%s %s came with no or a wrong key", ask.Method, ask.Path)
		}
		if ask.Status == 200 {
			good++
		}
	}
	if good == 0 {
		return errors.New("the vendor was not asked")
	}
	return nil
}

// keyInBox looks for the key in all that a process in the box can read: the environment and
// memory of every process, and every file that is not the kernel's. It is told what to look
// for in two halves.
func (w agentWorld) keyInBox(agent string, key string) string {
	w.t.Helper()
	script := `
import os, sys
needle = (sys.argv[1] + sys.argv[2]).encode()
def look(path, text):
    if needle in text: print("FOUND", path)
for pid in filter(str.isdigit, os.listdir("/proc")):
    if pid == str(os.getpid()): continue
    for name in ("environ", "cmdline"):
        try: look(f"/proc/{pid}/{name}", open(f"/proc/{pid}/{name}", "rb").read())
        except OSError: pass
look("own environment", repr(dict(os.environb)).encode())
n = 0
for root in ("/home", "/etc", "/workspace", "/tmp", "/root", "/run", "/var", "/opt/agent/bin", "/dev/shm"):
    for folder, _, files in os.walk(root):
        for f in files:
            p = os.path.join(folder, f)
            if not os.path.isfile(p) or os.path.islink(p): continue
            try: text = open(p, "rb").read()
            except OSError: continue
            n += 1
            look(p, text)
print("looked at", n)`
	return w.as("run", "--isolation=container", "--quiet", "--agent", agent, "--", "python3", "-c", script, key[:len(key)/2], key[len(key)/2:])
}

func TestRealAgentsWorkInTheBoxWithTheKeyInTheVaultAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		agent, host, credential string
		xAPIKey                 bool
		ask                     func(prompt string) []string
	}{
		{"claude", anthropicHost, "ANTHROPIC_API_KEY", true, func(p string) []string { return []string{"claude", "-p", "--permission-mode", "acceptEdits", p} }},
		{"codex", openaiHost, "OPENAI_API_KEY", false, func(p string) []string { return []string{"codex", "exec", "--skip-git-repo-check", p} }},
	} {
		t.Run(c.agent, func(t *testing.T) {
			vendor := &fakellm.Vendor{Key: "vendors-key-" + newMarker(), XAPIKey: c.xAPIKey}
			w := newAgentWorld(t, c.agent, c.host, c.credential, vendor)
			out := w.run(c.ask("please say banana")...)
			if !strings.Contains(out, "banana\n") || !strings.Contains(out, c.credential+" goes to "+c.host+" in this run") {
				t.Errorf("the answer is\n%s", out)
			}
			out = w.run(c.ask("replace apple with cherry in " + map[string]string{"claude": "/workspace/fruit.txt", "codex": "fruit.txt"}[c.agent])...)
			fruit, err := os.ReadFile(filepath.Join(w.dir, "fruit.txt"))
			if err != nil || string(fruit) != "cherry\n" || !strings.Contains(out, "replaced") {
				t.Errorf("the file holds %q, %v; the agent said\n%s", fruit, err, out)
			}
			if err := w.keyReached(); err != nil {
				t.Error(err)
			}
			found := w.keyInBox(c.agent, w.key)
			if strings.Contains(found, "FOUND") || !strings.Contains(found, "looked at") {
				t.Errorf("the key is in the box:\n%s", found)
			}
			// Control: what the agent was given in its place is found.
			if found := w.keyInBox(c.agent, "t-in-the-vault-by-av"); !strings.Contains(found, "FOUND /home/agent") || !strings.Contains(found, "FOUND own environment") {
				t.Errorf("control: %s", found)
			}
		})
	}
}

// Without the credential the agent starts, is refused, and its user is told what to type.
func TestRunSaysWhatTheVaultLacksForAnAgent(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t, "claude", anthropicHost, "SOMETHING_ELSE", &fakellm.Vendor{Key: "k-" + newMarker(), XAPIKey: true})
	out := w.run("claude", "--version")
	want := "the vault has no credential for Claude Code: `av credential set ANTHROPIC_API_KEY` and `av service add anthropic`, or " +
		"`av credential set CLAUDE_CODE_OAUTH_TOKEN` and `av service add claude-code`"
	if !strings.Contains(out, want) || !strings.Contains(out, "(Claude Code)") {
		t.Errorf("it says\n%s", out)
	}
}

var screenEscapes = regexp.MustCompile(`\x1b(\[[0-9;?<>=]*[A-Za-z~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[A-Za-z=>78])`)

// shown is what a screen was sent, without what moves the cursor: words that an agent draws
// apart stand together.
func shown(screen string) string {
	return strings.Join(strings.Fields(screenEscapes.ReplaceAllString(screen, "")), "")
}

func TestInteractiveClaudeAsksForNoLoginAndNoTrust(t *testing.T) {
	t.Parallel()
	w := newAgentWorld(t, "claude", anthropicHost, "CLAUDE_CODE_OAUTH_TOKEN", &fakellm.Vendor{Key: "token-" + newMarker()})
	mount := []string{"-m", "--propagation", "private", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, w.hosts, w.av, "run", "--isolation=container", "--", "claude"}
	cmd := exec.Command("unshare", mount...)
	cmd.Env, cmd.Dir = append(w.env, "TERM=xterm-256color"), w.dir
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer cmd.Process.Kill()
	var screen syncBuffer
	copied := make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(&screen, terminal) }()
	defer func() {
		if t.Failed() {
			t.Logf("the screen:\n%s", bytes.ReplaceAll([]byte(screenEscapes.ReplaceAllString(screen.String(), " ")), []byte("\r"), nil))
		}
	}()
	see := func(words string) {
		t.Helper()
		until(t, fmt.Sprintf("%q on the screen", words), 3*time.Minute, func() bool { return strings.Contains(shown(screen.String()), words) })
	}
	press := func(keys string) {
		t.Helper()
		if _, err := io.WriteString(terminal, keys); err != nil {
			t.Fatal(err)
		}
	}
	see("❯")
	for _, question := range []string{"Selectloginmethod", "trustthefiles", "trustthisfolder", "customAPIkey", "Choosethetextstyle", "Securitynotes"} {
		if strings.Contains(shown(screen.String()), question) {
			t.Errorf("it asks: %s", question)
		}
	}
	press("please say pomegranate")
	see("pleasesaypomegranate")
	before := strings.Count(shown(screen.String()), "pomegranate")
	press("\r")
	until(t, "the answer", 3*time.Minute, func() bool {
		return w.keyReached() == nil && strings.Count(shown(screen.String()), "pomegranate") > before+1
	})
	press("/exit\r")
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("it does not end")
	}
	if err := w.keyReached(); err != nil {
		t.Error(err)
	}
}
