package firewall_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/scripts/require"
)

var remark = regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]`)

// rules lists all rules of the namespace, in both backends and families.
func rules(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, family := range []string{"ip", "ip6"} {
		all.WriteString("== nft " + family + "\n" + save(t, family+"tables-nft-save"))
		if len(legacyTables(t)) > 0 {
			all.WriteString("== legacy " + family + "\n" + save(t, family+"tables-legacy-save"))
		}
	}
	return all.String()
}

// save leaves the counters, dates and warnings out.
func save(t *testing.T, program string) string {
	t.Helper()
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return remark.ReplaceAllString(string(out), "")
}

func TestHostWallsGoWhereTheEngineHasItsRulesAndLeaveNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		engine  []string // the programs by which an engine has made its chain
		want    []string // the backends that get walls
		forward string
	}{
		{"an engine on nft", programs[:1], []string{"nft"}, "DOCKER-USER"},
		{"an engine on legacy", programs[1:], []string{"legacy"}, "DOCKER-USER"},
		{"an engine that was moved, and has rules in both", programs, []string{"nft", "legacy"}, "DOCKER-USER"},
		{"no engine's chain", nil, []string{ownBackend(t)}, "FORWARD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			namespace(t)
			for _, program := range programs {
				// Somebody's rules, in the order in which they must be found again.
				for _, rule := range []string{"INPUT -p tcp --dport 22 -j ACCEPT", "FORWARD -i somebody -j ACCEPT"} {
					do(t, program+" -A "+rule)
					do(t, "ip6"+program[2:]+" -A "+rule)
				}
			}
			for _, program := range c.engine {
				do(t, program+" -N DOCKER-USER")
				do(t, program+" -A DOCKER-USER -j RETURN")
			}
			before := rules(t)
			host, err := firewall.OpenHost()
			if err != nil {
				t.Fatal(err)
			}
			p := examplePlan()
			if err := host.Apply(p); err != nil {
				t.Fatal(err)
			}
			for backend, program := range map[string]string{"nft": "iptables-nft-save", "legacy": "iptables-legacy-save"} {
				got := save(t, program)
				hook := "-A " + c.forward + " -i " + p.Bridge
				if slices.Contains(c.want, backend) != (strings.Contains(got, hook) && strings.Contains(got, "-A INPUT -i "+p.Bridge)) {
					t.Errorf("%s holds\n%s", backend, got)
				}
			}
			if n, err := host.Dropped(t.Context(), p); n != 0 || err != nil {
				t.Errorf("dropped: %d, %v", n, err)
			}
			if got, err := host.Standing(p.Owner); err != nil || len(got) != 1 || got[0].Run != p.Run {
				t.Errorf("standing: %+v, %v", got, err)
			}
			if err := host.Remove(p); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, rules(t)); diff != "" {
				t.Errorf("the host's rules before and after:\n%s", diff)
			}
			if err := host.Remove(p); err != nil {
				t.Errorf("a second time: %v", err)
			}
			if got, err := host.Standing(p.Owner); err != nil || len(got) != 0 {
				t.Errorf("standing afterwards: %+v, %v", got, err)
			}
		})
	}
}

func ownBackend(t *testing.T) string {
	require.Program(t, "iptables")
	out, err := exec.Command("iptables", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "nf_tables") {
		return "nft"
	}
	return "legacy"
}

// The engine was started anew with the other iptables while a run lived, or died.
func TestHostWallsAreFoundAndTakenDownInTheBackendThatTheEngineHasLeft(t *testing.T) {
	namespace(t)
	do(t, "iptables-legacy -N DOCKER-USER")
	do(t, "iptables-nft -A INPUT -p tcp --dport 22 -j ACCEPT")
	do(t, "ip6tables-nft -A INPUT -p tcp --dport 22 -j ACCEPT")
	do(t, "ip6tables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT")
	open := func() firewall.Host {
		host, err := firewall.OpenHost()
		if err != nil {
			t.Fatal(err)
		}
		return host
	}
	p := examplePlan()
	if err := open().Apply(p); err != nil {
		t.Fatal(err)
	}
	do(t, "iptables-nft -N DOCKER-USER")
	do(t, "iptables-legacy -F DOCKER-USER") // as an engine that leaves, with our hooks in it
	do(t, "iptables-legacy -X DOCKER-USER")
	host := open()
	if got, err := host.Standing(p.Owner); err != nil || len(got) != 1 {
		t.Fatalf("standing: %+v, %v", got, err)
	}
	if err := host.Remove(p); err != nil {
		t.Error(err)
	}
	if after := rules(t); strings.Contains(after, p.Run) {
		t.Errorf("left behind:\n%s", after)
	}
}

// A machine on which nobody uses the legacy tables must not get them by our asking.
func TestNoLegacyTableIsMadeByLooking(t *testing.T) {
	namespace(t)
	if ownBackend(t) != "nft" {
		t.Skip("this machine's iptables is the legacy one")
	}
	do(t, "iptables-nft -N DOCKER-USER")
	host, err := firewall.OpenHost()
	if err != nil {
		t.Fatal(err)
	}
	p := examplePlan()
	if err := host.Apply(p); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Standing(p.Owner); err != nil {
		t.Error(err)
	}
	if err := host.Remove(p); err != nil {
		t.Error(err)
	}
	if made := legacyTables(t); len(made) > 0 {
		t.Errorf("made %q", made)
	}
	do(t, "iptables-legacy -S") // the control: this is what asking does
	if len(legacyTables(t)) == 0 {
		t.Error("control: the test is blind")
	}
}
