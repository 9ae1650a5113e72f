package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/av-project/av/runner"
	"github.com/av-project/av/scripts/fakenet"
)

// vendor is a fake internet with an API that wants a credential, which the vault has.
func vendor(t *testing.T) *outside {
	t.Helper()
	w := newReach(t, fakenet.APIName)
	w.as("credential", "set", "TOKEN="+w.internet.API().Secret())
	w.services(fmt.Sprintf("  - {name: vendor, host: %s, auth: {type: bearer, token: TOKEN}}\n", fakenet.APIName))
	return w
}

const askVendor = "curl -sS -m 30 https://" + fakenet.APIName + "/v1/hello"

// Where an engine shares no files with us, all that there is between av and the gate is
// the stream by which the engine joins them.
func TestBoxWithoutALinkReachesItsProxyAndNothingElse(t *testing.T) {
	t.Parallel()
	w := vendor(t)
	for _, relay := range []string{"stream", "socket"} {
		t.Run(relay, func(t *testing.T) {
			marker := newMarker()
			receiptFile := filepath.Join(t.TempDir(), "receipt.json")
			out, _ := w.box(askVendor+"\n"+
				// Past the variables, and more at a time than one frame or window holds.
				"for i in 1 2 3 4; do curl -sS -m 60 --noproxy '*' -H 'Expect:' --data-binary @<(head -c 3000000 /dev/zero) -o /dev/null -w 'sent %{size_upload}\\n' https://"+fakenet.APIName+"/v1/hello & done; wait\n"+
				send("AF_INET", fakenet.SinkAddr.String(), 53, marker)+"\n"+
				"cat /sys/class/net/*/operstate; ls /sys/class/net; echo over", "--relay="+relay, "--receipt", receiptFile)
			if !strings.Contains(out, `{"hello":"world"}`) || strings.Count(out, "sent 3000000") != 4 || !strings.Contains(out, "over\n") {
				t.Errorf("it did not get through: %s", out)
			}
			if strings.Contains(out, "docker") || !strings.Contains(out, "av0\neth0\nlo\n") {
				t.Errorf("other interfaces than those that lead nowhere: %s", out)
			}
			if err := w.internet.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if seen := w.internet.Sinks().Seen(marker); len(seen) > 0 {
				t.Errorf("LEAKED: %v", seen)
			}
			if r, text := readReceipt(t, receiptFile); r.Walls != runner.WallsAlone || r.Refused == nil || r.Refused.UDP == 0 {
				t.Errorf("the receipt says %s", text)
			}
		})
	}
	if left := leftOf(w.home); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// Without the walls the same packet arrives, and nobody can overlook that they are away.
func TestRunWithoutWallsSaysSoAndHasNone(t *testing.T) {
	t.Parallel()
	w := vendor(t)
	receiptFile := filepath.Join(t.TempDir(), "receipt.json")
	for _, c := range []struct {
		flag   string
		leaves bool
		walls  runner.Walls
	}{{"--no-firewall", true, runner.WallsNone}, {"--host-walls=off", false, runner.WallsAlone}, {"--relay=bridge", false, runner.WallsBoth}} {
		marker := newMarker()
		args := []string{"run", "--isolation=container", "--quiet", "--receipt", receiptFile, c.flag, "--", "bash", "-c",
			askVendor + "; " + send("AF_INET", fakenet.SinkAddr.String(), 53, marker) + "; grep Cap /proc/self/status"}
		mount := []string{"-m", "--propagation", "private", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, w.hosts, w.av}
		cmd := exec.Command("unshare", append(mount, args...)...)
		cmd.Env, cmd.Dir = w.env, w.dir
		out, _ := cmd.CombinedOutput() // of what is sent last, some may be refused
		if !strings.Contains(string(out), `{"hello":"world"}`) {
			t.Errorf("%s: the proxy does its work all the same: %s", c.flag, out)
		}
		if n := strings.Count(string(out), "NO FIREWALL"); n != map[bool]int{true: 2, false: 0}[c.leaves] {
			t.Errorf("%s: the banner stands there %d times: %s", c.flag, n, out)
		}
		if err := w.internet.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if seen := w.internet.Sinks().Seen(marker); (len(seen) > 0) != c.leaves {
			t.Errorf("%s: the sink saw %v", c.flag, seen)
		}
		if r, text := readReceipt(t, receiptFile); r.Walls != c.walls {
			t.Errorf("%s: the receipt says %s", c.flag, text)
		}
	}
	if left := leftOf(w.home); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if _, err := os.Stat(receiptFile); err != nil {
		t.Error(err)
	}
}
