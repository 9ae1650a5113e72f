package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/fakenet"
)

type user struct {
	name  string
	uid   int
	relay string
	flags []string
}

// users are who tries, and from which kind of box: av lets a command be whoever its workspace belongs to.
var users = []user{
	{"as root in the box", 0, "socket", nil}, {"as an ordinary user", 1000, "socket", nil},
	{"as root in a box on a network", 0, "bridge", nil}, {"as root with `--root`, on a network", 1000, "bridge", []string{"--root"}},
}

// rootGiven is the result of what root with --root is meant to be given.
const rootGiven = "given"

// expected is what a line should bring.
func expected(a attack, flags []string) string {
	if a.rootMay && slices.Contains(flags, "--root") {
		return rootGiven
	}
	return blocked
}

// tryLimit is long: a control that is ended too early would look like a wall.
const tryLimit = 20 * time.Second

// TestGoldenNothingLeavesTheBox tries every line of the attack table from a box, and then from a container that lacks
// the wall, where it has to get through. docs/isolation.md holds what came of it.
func TestGoldenNothingLeavesTheBox(t *testing.T) {
	w := newAttackWorld(t)
	all := attackTable()
	w.haveGuests(t)
	results, lacking := make([][]string, len(users)), make([]string, len(all))
	for i, a := range all {
		if a.lacks != nil {
			lacking[i] = a.lacks()
		}
	}
	t.Run("boxes", func(t *testing.T) {
		for u, who := range users {
			results[u] = slices.Repeat([]string{"not tried"}, len(all))
			t.Run(who.name, func(t *testing.T) {
				t.Parallel() // most of the time is spent in waiting for what must not come
				for i, got := range w.fromBox(t, all, who.uid, append([]string{"--relay", who.relay}, who.flags...)...) {
					results[u][i] = expected(all[i], who.flags)
					if (got != "") != (results[u][i] == rootGiven) {
						results[u][i] = "**LEAKED**"
						t.Errorf("%s, %s with %s: LEAKED, %s\n\t%s", all[i].id, all[i].try, all[i].with, got, all[i].line)
					}
				}
			})
		}
	})
	groups := map[string][]int{}
	for i, a := range all {
		if a.control == "" {
			a.control = ordinary
		}
		if lacking[i] != "" {
			t.Logf("%s, %s with %s: no control: %s", a.id, a.try, a.with, lacking[i])
			continue
		}
		groups[a.control] = append(groups[a.control], i)
	}
	t.Run("controls", func(t *testing.T) {
		for name, group := range groups {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w.fromControl(t, name, all, group)
			})
		}
	})
	if *update && slices.ContainsFunc(lacking, func(what string) bool { return what != "" }) {
		t.Fatal("this machine cannot try everything, and does not write the page")
	}
	compareDoc(t, renderAttacks(all, results))
}

// haveGuests has the addresses that mean something to a cloud or to a home lead to the attacker too.
func (w *attackWorld) haveGuests(t *testing.T) {
	t.Helper()
	for _, guest := range guests {
		if err := w.internet.Guest(netip.MustParseAddr(guest.address), netiso.DefaultPool, w.openBase); err != nil {
			t.Fatal(err)
		}
	}
}

// fromBox tries everything from one box: what one try breaks, the others may use.
func (w *attackWorld) fromBox(t *testing.T, all []attack, uid int, flags ...string) (got []string) {
	t.Helper()
	marks := make([]mark, len(all))
	for i := range all {
		marks[i] = newMark()
	}
	alive := newMarker()
	// The last request is one that policy allows: nothing arrives from a box that is dead, either.
	script := w.script(all, marks, tryLimit) + "echo all tried as $(id -u); curl -sS -m 20 https://" + fakenet.APIName + "/v1/hello?" + alive
	cmd := w.run(t, uid, script, flags...)
	cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK=/run/agent", "DISPLAY=:0", "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/bus", "VSCODE_IPC_HOOK_CLI=/run/code")
	began := time.Now()
	raw, err := cmd.CombinedOutput()
	out := string(raw)
	if err != nil || !strings.Contains(out, "all tried as ") {
		t.Fatalf("the attacks were not all tried: %v\n%s", err, out)
	}
	t.Logf("%d tries in %s; what each said last:\n%s", len(all), time.Since(began).Round(time.Second), out)
	w.settle(t)
	if len(w.internet.API().Requests(alive)) != 1 {
		t.Error("what policy allows did not arrive: the box was dead, and the other results say nothing")
	}
	for i, a := range all {
		got = append(got, w.got(a, i, marks[i], out))
	}
	return got
}

// fromControl tries some lines from a container that lacks the wall: each has to get through.
func (w *attackWorld) fromControl(t *testing.T, name string, all []attack, group []int) {
	t.Helper()
	for try := 1; ; try++ {
		missed, out := w.tryControl(t, name, all, group)
		if len(missed) == 0 {
			return
		}
		if try < controlTries {
			group = missed
			continue
		}
		for _, n := range missed {
			a := all[n]
			t.Errorf("%s, %s with %s: in %s it should get through, and did not, %d times\n\t%s", a.id, a.try, a.with, name, try, a.line)
		}
		t.Log(out)
		return
	}
}

// controlTries is how often a control may be tried: it has to get through once. With all
// lines at once on a busy machine, a packet or two of them are lost.
const controlTries = 3

// tryControl gives those of the group that did not get through.
func (w *attackWorld) tryControl(t *testing.T, name string, all []attack, group []int) (missed []int, out string) {
	t.Helper()
	some, marks := make([]attack, len(group)), make([]mark, len(group))
	for i, n := range group {
		some[i], marks[i] = all[n], newMark()
	}
	out, err := w.plain(w.script(some, marks, tryLimit), w.control(name)...)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.settle(t)
	for i, a := range some {
		if w.got(a, i, marks[i], out) == "" {
			missed = append(missed, group[i])
		}
	}
	return missed, out
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
