package firewall

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fakeTables is a filter table in memory.
type fakeTables struct {
	chains map[string][]string
	fail   string // the operation that fails
	log    []string
}

func newFake(chains ...string) *fakeTables {
	f := &fakeTables{chains: map[string][]string{}}
	for _, c := range chains {
		f.chains[c] = nil
	}
	return f
}

// Restore does what iptables-restore does: all lines, or none of them.
func (f *fakeTables) Restore(lines []string) error {
	f.log = append(f.log, lines...)
	after := map[string][]string{}
	for c, rules := range f.chains {
		after[c] = slices.Clone(rules)
	}
	for _, l := range lines {
		if f.fail != "" && strings.HasPrefix(l, f.fail) {
			return errors.New("no")
		}
		verb, rest, _ := strings.Cut(l, " ")
		chain, spec, _ := strings.Cut(rest, " ")
		_, there := after[chain]
		if there == (verb == "-N") {
			return fmt.Errorf("%s: chain %s", verb, chain)
		}
		switch verb {
		case "-N", "-F":
			after[chain] = nil
		case "-X":
			delete(after, chain)
		case "-A":
			after[chain] = append(after[chain], "-A "+rest)
		case "-I":
			after[chain] = append([]string{"-A " + chain + strings.TrimPrefix(spec, "1")}, after[chain]...)
		case "-D":
			i := slices.Index(after[chain], "-A "+rest)
			if i < 0 {
				return fmt.Errorf("no rule %q", l)
			}
			after[chain] = slices.Delete(after[chain], i, i+1)
		default:
			return fmt.Errorf("unknown line %q", l)
		}
	}
	f.chains = after
	return nil
}

func (f *fakeTables) ChainExists(c string) (bool, error) { _, ok := f.chains[c]; return ok, nil }
func (f *fakeTables) DeleteIfExists(c string, spec ...string) error {
	if to := spec[len(spec)-1]; strings.HasPrefix(to, "AV-") {
		if _, ok := f.chains[to]; !ok {
			return fmt.Errorf("chain %s does not exist", to) // as iptables answers to -C
		}
	}
	if i := slices.Index(f.chains[c], line(c, spec)); i >= 0 {
		f.chains[c] = slices.Delete(f.chains[c], i, i+1)
	}
	return nil
}
func (f *fakeTables) RemoveChain(c string) error { delete(f.chains, c); return nil }

// Save gives every rule as many packets as it has bytes of text, so that a sum tells
// which rules went into it.
func (f *fakeTables) Save(context.Context) ([]string, error) {
	lines := []string{"*filter"}
	for c, rules := range f.chains {
		lines = append(lines, ":"+c+" ACCEPT [7:700]")
		for _, r := range rules {
			lines = append(lines, fmt.Sprintf("[%d:0] %s", len(r), r))
		}
	}
	return append(lines, "COMMIT"), nil
}

// one is a host with one backend.
func one(v4, v6 *fakeTables) Host {
	b := Backend{Name: "nft", V4: v4}
	if v6 != nil {
		b.V6 = v6
	}
	return Host{Backends: []Backend{b}}
}

// line is a rule as iptables lists it, with the comment in quotes.
func line(chain string, spec []string) string {
	out := "-A " + chain
	for i, word := range spec {
		if i > 0 && spec[i-1] == "--comment" {
			word = `"` + word + `"`
		}
		out += " " + word
	}
	return out
}

func hostPlan() Plan {
	return Plan{
		Run: "7f3a00c1", Owner: "0123456789abcdef", Bridge: "av-7f3a00c1",
		Relay: netip.MustParseAddrPort("10.83.4.1:40123"), GateUID: 65533, CatchPort: 14323,
	}
}

func TestGoldenHostWallsGoUpAndComeDown(t *testing.T) {
	v4, v6 := newFake("INPUT", "FORWARD", "DOCKER-USER"), newFake("INPUT", "FORWARD")
	host := one(v4, v6)
	if err := host.Apply(hostPlan()); err != nil {
		t.Fatal(err)
	}
	if err := host.Remove(hostPlan()); err != nil {
		t.Fatal(err)
	}
	got := "# IPv4\n" + strings.Join(v4.log, "\n") + "\n# IPv6\n" + strings.Join(v6.log, "\n") + "\n"
	golden(t, "testdata/host.golden", got)
	for chain, rules := range v4.chains {
		if len(rules) > 0 || strings.HasPrefix(chain, "AV-") {
			t.Errorf("after the walls came down, %s holds %q", chain, rules)
		}
	}
}

func TestGoldenNamespaceWalls(t *testing.T) {
	var out strings.Builder
	for _, r := range hostPlan().Namespace() {
		family := "ipv4"
		if r.IPv6 {
			family = "ipv6"
		}
		fmt.Fprintf(&out, "%s/%s %s", family, r.Table, r.Spec)
		if r.Why != "" {
			fmt.Fprintf(&out, "   # %s", r.Why)
		}
		out.WriteString("\n")
	}
	golden(t, "testdata/namespace.golden", out.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (make golden writes it anew):\n%s", path, diff)
	}
}

func TestHostWallsThatCannotAllGoUpAreTakenDown(t *testing.T) {
	for _, step := range []string{"-A AV-7f3a00c1 -j DROP", "-I INPUT 1 -i av-7f3a00c1", "-I FORWARD"} {
		v4, v6 := newFake("INPUT", "FORWARD", "DOCKER-USER"), newFake("INPUT", "FORWARD")
		v4.fail, v6.fail = step, step
		if one(v4, v6).Apply(hostPlan()) == nil {
			t.Errorf("a failure at %q was not told", step)
		}
		for chain, rules := range v4.chains {
			if len(rules) > 0 || strings.HasPrefix(chain, "AV-") {
				t.Errorf("after a failure at %q, %s holds %q", step, chain, rules)
			}
		}
	}
}

func TestHostWallsOfWhichPartIsGoneAreStillTakenDown(t *testing.T) {
	for _, gone := range []string{"INPUT", "DOCKER-USER", "AV-7f3a00c1"} {
		v4 := newFake("INPUT", "FORWARD", "DOCKER-USER")
		host := one(v4, newFake("INPUT", "FORWARD"))
		if err := host.Apply(hostPlan()); err != nil {
			t.Fatal(err)
		}
		if gone == "AV-7f3a00c1" {
			delete(v4.chains, gone)
			v4.chains["INPUT"] = nil // the kernel keeps no chain's removal while a rule names it
		} else {
			v4.chains[gone] = nil
		}
		if err := host.Remove(hostPlan()); err != nil {
			t.Errorf("without %s: %v", gone, err)
		}
		for chain, rules := range v4.chains {
			if len(rules) > 0 || strings.HasPrefix(chain, "AV-") {
				t.Errorf("without %s, %s holds %q afterwards", gone, chain, rules)
			}
		}
	}
}

func TestEngineWithoutItsUserChainIsWalledInForward(t *testing.T) {
	v4 := newFake("INPUT", "FORWARD")
	if err := one(v4, nil).Apply(hostPlan()); err != nil {
		t.Fatal(err)
	}
	if len(v4.chains["FORWARD"]) != 2 {
		t.Errorf("FORWARD holds %q", v4.chains["FORWARD"])
	}
}

func TestOnlyOurOwnHostWallsAreFound(t *testing.T) {
	v4 := newFake("INPUT", "FORWARD", "DOCKER-USER")
	host := one(v4, nil)
	theirs := hostPlan()
	theirs.Run, theirs.Bridge, theirs.Owner = "00000001", "av-00000001", "fedcba9876543210"
	for _, p := range []Plan{hostPlan(), theirs} {
		if err := host.Apply(p); err != nil {
			t.Fatal(err)
		}
	}
	// Rules that only look like ours.
	v4.chains["INPUT"] = append(v4.chains["INPUT"], "-A INPUT -i av-deadbeef -j DROP",
		`-A INPUT -i av-deadbeef -m comment --comment "av run=deadbeef" -j DROP`)
	plans, err := host.Standing(hostPlan().Owner)
	if err != nil {
		t.Fatal(err)
	}
	want := []Plan{{Run: "7f3a00c1", Owner: "0123456789abcdef", Bridge: "av-7f3a00c1"}}
	if diff := cmp.Diff(want, plans, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
