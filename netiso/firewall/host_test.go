package firewall

import (
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

func (f *fakeTables) do(op, chain string, spec ...string) error {
	line := strings.TrimSpace(op + " " + chain + " " + strings.Join(spec, " "))
	f.log = append(f.log, line)
	if f.fail != "" && strings.HasPrefix(line, f.fail) {
		return errors.New("no")
	}
	return nil
}

func (f *fakeTables) NewChain(c string) error {
	f.chains[c] = nil
	return f.do("new", c)
}
func (f *fakeTables) ChainExists(c string) (bool, error) { _, ok := f.chains[c]; return ok, nil }
func (f *fakeTables) Append(c string, spec ...string) error {
	if err := f.do("append", c, spec...); err != nil {
		return err
	}
	f.chains[c] = append(f.chains[c], line(c, spec))
	return nil
}
func (f *fakeTables) InsertFirst(c string, spec ...string) error {
	if err := f.do("insert", c, spec...); err != nil {
		return err
	}
	f.chains[c] = append([]string{line(c, spec)}, f.chains[c]...)
	return nil
}
func (f *fakeTables) DeleteIfExists(c string, spec ...string) error {
	if i := slices.Index(f.chains[c], line(c, spec)); i >= 0 {
		f.chains[c] = slices.Delete(f.chains[c], i, i+1)
		return f.do("delete", c, spec...)
	}
	return nil
}
func (f *fakeTables) RemoveChain(c string) error { delete(f.chains, c); return f.do("remove", c) }
func (f *fakeTables) List(c string) ([]string, error) {
	return append([]string{"-P " + c + " ACCEPT"}, f.chains[c]...), nil
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
	host := Host{V4: v4, V6: v6}
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
	for _, step := range []string{"append AV-7f3a00c1 -j DROP", "insert INPUT", "insert DOCKER-USER -o"} {
		v4 := newFake("INPUT", "FORWARD", "DOCKER-USER")
		v4.fail = step
		if (Host{V4: v4}).Apply(hostPlan()) == nil {
			t.Errorf("a failure at %q was not told", step)
		}
		for chain, rules := range v4.chains {
			if len(rules) > 0 || strings.HasPrefix(chain, "AV-") {
				t.Errorf("after a failure at %q, %s holds %q", step, chain, rules)
			}
		}
	}
}

func TestEngineWithoutItsUserChainIsWalledInForward(t *testing.T) {
	v4 := newFake("INPUT", "FORWARD")
	if err := (Host{V4: v4}).Apply(hostPlan()); err != nil {
		t.Fatal(err)
	}
	if len(v4.chains["FORWARD"]) != 2 {
		t.Errorf("FORWARD holds %q", v4.chains["FORWARD"])
	}
}

func TestOnlyOurOwnHostWallsAreFound(t *testing.T) {
	v4 := newFake("INPUT", "FORWARD", "DOCKER-USER")
	host := Host{V4: v4}
	theirs := hostPlan()
	theirs.Run, theirs.Bridge, theirs.Owner = "00000001", "av-00000001", "fedcba9876543210"
	for _, p := range []Plan{hostPlan(), theirs} {
		if err := host.Apply(p); err != nil {
			t.Fatal(err)
		}
	}
	// Rules that only look like ours.
	_ = v4.Append("INPUT", "-i", "av-deadbeef", "-j", "DROP")
	_ = v4.Append("INPUT", "-i", "av-deadbeef", "-m", "comment", "--comment", "av run=deadbeef", "-j", "DROP")
	plans, err := host.Standing(hostPlan().Owner)
	if err != nil {
		t.Fatal(err)
	}
	want := []Plan{{Run: "7f3a00c1", Owner: "0123456789abcdef", Bridge: "av-7f3a00c1"}}
	if diff := cmp.Diff(want, plans, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
