package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/scripts/fakenet"
)

// The walls are two, and one is enough: with either of them taken down by hand, nothing more leaves the box.
func TestEachWallStandsWithoutTheOther(t *testing.T) {
	eachWallStands(t, newAttackWorld(t))
}

func eachWallStands(t *testing.T, w *attackWorld) {
	t.Helper()
	var all []attack
	for _, a := range attackTable() {
		if a.sink != right && (a.lacks == nil || a.lacks() == "") {
			all = append(all, a)
		}
	}
	for _, c := range []struct {
		name, relay string
		fall        func(*testing.T, boxed)
	}{
		{"the rules in the namespace, on a network", "bridge", namespaceFalls},
		{"the rules on the host", "bridge", hostFalls},
		{"the rules in the namespace, and without a link", "socket", namespaceFalls},
	} {
		t.Run("without "+c.name, func(t *testing.T) {
			w := *w
			w.env = withRelay(w.env, c.relay)
			marks, alive := make([]mark, len(all)), newMarker()
			for i := range all {
				marks[i] = newMark()
			}
			b := w.begin(t, "touch ready; until [ -e go ]; do sleep 0.1; done\n"+w.script(all, marks, 6*time.Second)+
				"curl -sS -m 30 https://"+fakenet.APIName+"/v1/hello?"+alive+"; touch tried; until [ -e end ]; do sleep 0.1; done")
			w.locate(t, &b)
			c.fall(t, b)
			b.tell(t, "go")
			b.await(t, "tried")
			w.settle(t)
			for i, a := range all {
				// Some engines ask for their containers from the host's own network: there one wall alone keeps names in.
				if a.sink == queries && c.relay == "bridge" && strings.Contains(c.name, "namespace") {
					continue
				}
				if got := w.got(a, i, marks[i], ""); got != "" {
					t.Errorf("%s, %s with %s: LEAKED, %s\n\t%s", a.id, a.try, a.with, got, a.line)
				}
			}
			if len(w.internet.API().Requests(alive)) != 1 {
				t.Error("what policy allows did not arrive")
			}
			b.tell(t, "end")
			if err := b.cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, b.out)
			}
			if left := leftOf(filepath.Join(w.dir, "home")); left != "" {
				t.Errorf("left behind: %s", left)
			}
			if t.Failed() {
				t.Log(b.out)
			}
		})
	}
}

// namespaceFalls takes down what init-firewall.sh has put up, as the kernel's root can.
func namespaceFalls(t *testing.T, b boxed) {
	t.Helper()
	out, err := exec.Command("docker", "inspect", "--format", "{{.State.Pid}}", b.gate).Output()
	if err != nil {
		t.Fatal(err)
	}
	inside := func(script string) string {
		t.Helper()
		out, err := exec.Command("nsenter", "--net=/proc/"+strings.TrimSpace(string(out))+"/ns/net", "sh", "-ec", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	list := "iptables-save; [ ! -e /proc/net/if_inet6 ] || ip6tables-save"
	if rules := inside(list); !strings.Contains(rules, "-A OUTPUT") || !strings.Contains(rules, ":OUTPUT DROP") {
		t.Fatalf("the walls were not found: the test is blind: %s", rules)
	}
	rules := inside(`for t in iptables ip6tables; do
		[ $t = iptables ] || [ -e /proc/net/if_inet6 ] || continue
		$t -F; for c in INPUT FORWARD OUTPUT; do $t -P $c ACCEPT; done; done; iptables -t nat -F; ` + list)
	if strings.Contains(rules, "-A ") || strings.Contains(rules, " DROP ") {
		t.Fatalf("they still stand: %s", rules)
	}
}

// hostFalls takes down the run's own rules on the host.
func hostFalls(t *testing.T, b boxed) {
	t.Helper()
	run := strings.TrimPrefix(strings.TrimSuffix(b.name, "-gate"), "av-")
	fell := 0
	for _, tool := range []string{"iptables", "ip6tables"} {
		rules, err := exec.Command(tool, "-S").Output()
		if err != nil {
			if _, none := os.Stat("/proc/net/if_inet6"); none != nil && tool == "ip6tables" {
				continue
			}
			t.Fatal(err)
		}
		for line := range strings.Lines(string(rules)) {
			if !strings.Contains(line, run) || !strings.HasPrefix(line, "-A ") || strings.Contains(line, "DOCKER-ISOLATION") {
				continue
			}
			if !strings.Contains(line, "av run="+run) && !strings.HasPrefix(line, "-A AV-"+run) {
				continue // the engine's own, which keep one network from another
			}
			out, err := exec.Command("sh", "-c", fmt.Sprintf("%s -w 5 -D %s", tool, strings.TrimPrefix(strings.TrimSpace(line), "-A "))).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			fell++
		}
	}
	if fell < 5 {
		t.Fatalf("only %d rules were found: the test is blind", fell)
	}
}
