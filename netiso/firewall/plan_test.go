package firewall_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/av-project/av/images"
	"github.com/av-project/av/netiso/firewall"
)

func examplePlan() firewall.Plan {
	return firewall.Plan{
		Run: "7f3a00c1", Owner: "0123456789abcdef", Bridge: "av-7f3a00c1",
		Relay: netip.MustParseAddrPort("10.83.4.1:40123"), GateUID: 65533, CatchPort: 14323,
	}
}

// linkless is the plan of a box without a link.
func linkless() firewall.Plan {
	return firewall.Plan{Run: "7f3a00c1", Owner: "0123456789abcdef", GateUID: 65533, CatchPort: 14323}
}

// planned is the read-back that the script must print for a plan.
func planned(p firewall.Plan) []string {
	var lines []string
	section := ""
	for _, r := range p.Namespace() {
		family := "ipv4"
		if r.IPv6 {
			family = "ipv6"
		}
		if s := fmt.Sprintf("# %s %s", family, r.Table); s != section {
			section = s
			lines = append(lines, s)
		}
		lines = append(lines, r.Spec)
	}
	return lines
}

func TestWallsThatAreAsPlannedAreAccepted(t *testing.T) {
	for _, p := range []firewall.Plan{examplePlan(), linkless()} {
		acceptsOwnRules(t, p)
	}
	if linkless().Verify(planned(examplePlan())) == nil {
		t.Error("rules for a relay were accepted in a box without a link")
	}
}

func acceptsOwnRules(t *testing.T, p firewall.Plan) {
	t.Helper()
	if err := p.Verify(planned(p)); err != nil {
		t.Error(err)
	}
	lines := planned(p)
	for i, l := range lines {
		if l == "# ipv6 filter" {
			if err := p.Verify(append(lines[:i:i], firewall.NoIPv6)); err != nil {
				t.Errorf("a kernel without IPv6: %v", err)
			}
		}
	}
}

func TestAnyRuleMissingAddedOrMovedIsFound(t *testing.T) {
	p := examplePlan()
	lines := planned(p)
	for i := range lines {
		without := append(append([]string(nil), lines[:i]...), lines[i+1:]...)
		if p.Verify(without) == nil {
			t.Errorf("the walls without %q were accepted", lines[i])
		}
		added := append(append([]string(nil), lines[:i]...), append([]string{"-A OUTPUT -j ACCEPT"}, lines[i:]...)...)
		if p.Verify(added) == nil {
			t.Errorf("the walls with a hole before %q were accepted", lines[i])
		}
		if i > 0 {
			swapped := append([]string(nil), lines...)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			if p.Verify(swapped) == nil {
				t.Errorf("the walls with %q moved up were accepted", lines[i])
			}
		}
	}
	if p.Verify(append(planned(p), "-A OUTPUT -j ACCEPT")) == nil {
		t.Error("the walls with a hole at the end were accepted")
	}
	if p.Verify(nil) == nil {
		t.Error("no walls at all were accepted")
	}
}

func TestPlanThatWouldRenderOtherRulesIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*firewall.Plan){
		"run id with a blank":     func(p *firewall.Plan) { p.Run = "7f3a 0c1" },
		"bridge with a wildcard":  func(p *firewall.Plan) { p.Bridge = "av-+" },
		"bridge that is too long": func(p *firewall.Plan) { p.Bridge = "av-7f3a00c1-too-long" },
		"bridge and no relay":     func(p *firewall.Plan) { p.Relay = netip.AddrPort{} },
		"relay and no bridge":     func(p *firewall.Plan) { p.Bridge = "" },
		"no link and a root gate": func(p *firewall.Plan) { *p = linkless(); p.GateUID = 0 },
		"relay on every address":  func(p *firewall.Plan) { p.Relay = netip.MustParseAddrPort("0.0.0.0:1") },
		"relay by IPv6":           func(p *firewall.Plan) { p.Relay = netip.MustParseAddrPort("[::1]:1") },
		"relay without port":      func(p *firewall.Plan) { p.Relay = netip.MustParseAddrPort("10.83.4.1:0") },
		"gate that is root":       func(p *firewall.Plan) { p.GateUID = 0 },
		"nowhere to catch":        func(p *firewall.Plan) { p.CatchPort = 0 },
		"owner with a quote":      func(p *firewall.Plan) { p.Owner = `x" -j ACCEPT` },
	} {
		p := examplePlan()
		spoil(&p)
		if p.Validate() == nil {
			t.Errorf("a plan with a %s was accepted", name)
		}
	}
	for _, p := range []firewall.Plan{examplePlan(), linkless()} {
		if err := p.Validate(); err != nil {
			t.Errorf("a sound plan was refused: %v", err)
		}
	}
}

// The script is handed every kind of nonsense, and must say which parameter it is
// before it touches a rule. The tools it would use are replaced by one that fails
// the test.
func TestScriptRefusesParametersThatItCannotRead(t *testing.T) {
	good := map[string]string{"AV_RELAY_ADDR": "10.83.4.1", "AV_RELAY_PORT": "40123", "AV_GATE_UID": "65533", "AV_CATCH_PORT": "14323", "IPTABLES": "iptables-legacy"}
	for _, c := range []struct{ name, value string }{
		{"AV_RELAY_ADDR", ""}, {"AV_RELAY_ADDR", "0.0.0.0/0"}, {"AV_RELAY_ADDR", "10.83.4"}, {"AV_RELAY_ADDR", "10.83.4.1.5"},
		{"AV_RELAY_ADDR", "10.83.4.256"}, {"AV_RELAY_ADDR", "10.83..1"}, {"AV_RELAY_ADDR", "::1"}, {"AV_RELAY_ADDR", "gw"}, {"AV_RELAY_ADDR", "none.1.1.1"}, {"AV_RELAY_ADDR", "none "},
		{"AV_RELAY_ADDR", "10.83.4.1\n-A OUTPUT -j ACCEPT"}, {"AV_RELAY_ADDR", "10.83.4.01"},
		{"AV_RELAY_PORT", ""}, {"AV_RELAY_PORT", "0"}, {"AV_RELAY_PORT", "65536"}, {"AV_RELAY_PORT", "1:65535"}, {"AV_RELAY_PORT", "99999999999999999999"},
		{"AV_GATE_UID", "0"}, {"AV_GATE_UID", "0-4294967294"}, {"AV_GATE_UID", "-1"}, {"AV_GATE_UID", "root"},
		{"AV_CATCH_PORT", "0"}, {"AV_CATCH_PORT", "1-9"}, {"AV_CATCH_PORT", "0x10"},
		{"IPTABLES", "nft"}, {"IPTABLES", "true"}, {"IPTABLES", "/tmp/iptables"}, {"IPTABLES", "iptables-nft -h"},
	} {
		env := []string{"PATH=" + brokenTools(t)}
		for k, v := range good {
			if k == c.name {
				v = c.value
			}
			env = append(env, k+"="+v)
		}
		cmd := exec.Command("/bin/sh", "-s")
		cmd.Env, cmd.Stdin = env, strings.NewReader(string(images.FirewallScript()))
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.name) || strings.Contains(string(out), "touched") {
			t.Errorf("%s=%q: %v, %q", c.name, c.value, err, out)
		}
	}
}

func brokenTools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	names := []string{"ip"}
	for _, backend := range []string{"", "-nft", "-legacy"} {
		for _, program := range []string{"iptables", "ip6tables"} {
			names = append(names, program+backend, program+backend+"-restore")
		}
	}
	for _, name := range names {
		if err := os.WriteFile(dir+"/"+name, []byte("#!/bin/sh\necho touched\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
