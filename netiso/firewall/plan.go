// Package firewall renders the walls of one run as iptables rules.
// It decides nothing and touches nothing but through Host: the same plan always
// gives the same rules.
package firewall

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Plan is everything the rules of one run depend on. Without a bridge and a relay it is
// that of a box that has no link: nothing goes out of its namespace, not even to us.
type Plan struct {
	Run    string         // the run's id: eight hexadecimal digits
	Owner  string         // which av home the run belongs to
	Bridge string         // the run's bridge on the host
	Relay  netip.AddrPort // the one address and port that the box may reach
	// GateUID is the one user in the namespace that may reach the relay.
	GateUID int
	// CatchPort is where the gate takes TCP connections that go elsewhere.
	CatchPort uint16
}

// Linkless tells whether the box has no link to anything outside of its namespace.
func (p Plan) Linkless() bool { return p.Bridge == "" && p.Relay == netip.AddrPort{} }

var runID = regexp.MustCompile(`^[0-9a-f]{8}$`)

// Validate refuses a plan that would render rules other than those meant.
func (p Plan) Validate() error {
	switch {
	case !runID.MatchString(p.Run):
		return fmt.Errorf("refusing run id %q: not eight hexadecimal digits", p.Run)
	case p.Linkless():
	case p.Bridge == "" || len(p.Bridge) > 15 || strings.ContainsAny(p.Bridge, " /+!\t\n"):
		// "+" is iptables' wildcard for interface names.
		return fmt.Errorf("refusing bridge name %q", p.Bridge)
	case !p.Relay.IsValid() || !p.Relay.Addr().Is4() || p.Relay.Addr().IsUnspecified() || p.Relay.Port() == 0:
		return fmt.Errorf("refusing relay address %q: not an IPv4 address and port", p.Relay)
	}
	switch {
	case p.GateUID <= 0:
		return fmt.Errorf("refusing uid %d for the gate: it must not be root", p.GateUID)
	case p.CatchPort == 0:
		return fmt.Errorf("refusing port 0 for caught connections")
	case strings.ContainsAny(p.Owner, " \"\t\n"):
		return fmt.Errorf("refusing owner %q", p.Owner)
	}
	return nil
}

// Rule is one line of a table, in the words and the order in which `iptables -S`
// lists it, with the reason for it.
type Rule struct {
	IPv6  bool
	Table string // "filter" or "nat"
	Spec  string // "-P OUTPUT DROP", "-A OUTPUT -o lo -j ACCEPT"
	Why   string
}

// dockerDNS is where an engine's resolver listens inside a container. It asks the
// host's resolver, and is therefore a way out.
const dockerDNS = "127.0.0.11/32"

// Namespace gives the rules inside the run's network namespace, which the script
// init-firewall.sh applies and reads back.
func (p Plan) Namespace() []Rule {
	relay := fmt.Sprintf("%s/32", p.Relay.Addr())
	port := strconv.Itoa(int(p.Relay.Port()))
	uid := strconv.Itoa(p.GateUID)
	catch := strconv.Itoa(int(p.CatchPort))
	fromRelay := "-A INPUT -s " + relay + " -p tcp -m tcp --sport " + port + " -m conntrack --ctstate ESTABLISHED -j ACCEPT"
	toRelay := "-A OUTPUT -d " + relay + " -p tcp -m tcp --dport " + port + " -m owner --uid-owner " + uid + " -j ACCEPT"
	pastCatch := "-A OUTPUT -m owner --uid-owner " + uid + " -j RETURN"
	rules := []Rule{
		{false, "filter", "-P INPUT DROP", "nothing comes in but what is named below"},
		{false, "filter", "-P FORWARD DROP", "the namespace is no router"},
		{false, "filter", "-P OUTPUT DROP", "nothing goes out but what is named below"},
		{false, "filter", "-A INPUT -d " + dockerDNS + " -j DROP", "the engine's resolver hears nothing"},
		{false, "filter", "-A INPUT -i lo -j ACCEPT", "the agent may talk to itself and to the gate"},
		{false, "filter", fromRelay, "the relay's answers"},
		{false, "filter", "-A OUTPUT -d " + dockerDNS + " -j REJECT --reject-with icmp-port-unreachable", "the engine's resolver forwards queries from the host: a way out by DNS"},
		{false, "filter", "-A OUTPUT -o lo -j ACCEPT", "the agent may talk to itself and to the gate"},
		{false, "filter", "-A OUTPUT -d 127.0.0.1/32 -p tcp -m tcp --dport " + catch + " -j ACCEPT", "what the nat table has just caught still bears its first way out here"},
		{false, "filter", toRelay, "the gate, and nobody else, reaches the relay"},
		{false, "filter", "-A OUTPUT -p tcp -j REJECT --reject-with tcp-reset", "no TCP leaves uncaught; refused fast so that nothing hangs"},
		{false, "filter", refuseUDP, "refused fast, so that QUIC falls back to TCP; a rule of its own, so that its packets are counted apart"},
		{false, "filter", refuseICMP, "a ping carries whatever it is given, and needs no capability; counted apart too"},
		{false, "filter", refuseRest, "SCTP, GRE, raw IP and whatever comes next"},

		{false, "nat", "-P PREROUTING ACCEPT", "this table changes where a packet goes; the filter tables say whether"},
		{false, "nat", "-P INPUT ACCEPT", "as above"},
		{false, "nat", "-P OUTPUT ACCEPT", "as above"},
		{false, "nat", "-P POSTROUTING ACCEPT", "as above; the engine's rules for its resolver are gone from here"},
		{false, "nat", "-A OUTPUT -d " + dockerDNS + " -p udp -m udp --dport 53 -j REDIRECT --to-ports 53", "names are asked of the gate, whatever resolv.conf says"},
		{false, "nat", "-A OUTPUT -d " + dockerDNS + " -p tcp -m tcp --dport 53 -j REDIRECT --to-ports 53", "names are asked of the gate, by TCP too"},
		{false, "nat", "-A OUTPUT -o lo -j RETURN", "what stays in the namespace is not caught"},
		{false, "nat", pastCatch, "the gate's own way to the relay"},
		{false, "nat", p.catchTCP(), "tools that ignore the proxy variables are caught and policed alike"},

		{true, "filter", "-P INPUT DROP", "IPv6 is not used; what is not walled is a way out"},
		{true, "filter", "-P FORWARD DROP", "the namespace is no router"},
		{true, "filter", "-P OUTPUT DROP", "nothing goes out by IPv6"},
		{true, "filter", "-A INPUT -i lo -j ACCEPT", "::1: the agent may talk to itself"},
		{true, "filter", "-A OUTPUT -o lo -j ACCEPT", "::1: the agent may talk to itself"},
		{true, "filter", "-A OUTPUT -j REJECT --reject-with icmp6-adm-prohibited", "refused fast, so that clients try IPv4"},
	}
	if p.Linkless() {
		// The relay is no address of this namespace's, and so its gate is nobody special.
		forRelay := []string{fromRelay, toRelay, pastCatch}
		rules = slices.DeleteFunc(rules, func(r Rule) bool { return slices.Contains(forRelay, r.Spec) })
	}
	return rules
}

// Params is what init-firewall.sh is told, as its environment. The script checks
// every one of them again.
func (p Plan) Params() []string {
	if p.Linkless() {
		return []string{"AV_RELAY_ADDR=none", "AV_CATCH_PORT=" + strconv.Itoa(int(p.CatchPort))}
	}
	return []string{
		"AV_RELAY_ADDR=" + p.Relay.Addr().String(),
		"AV_RELAY_PORT=" + strconv.Itoa(int(p.Relay.Port())),
		"AV_GATE_UID=" + strconv.Itoa(p.GateUID),
		"AV_CATCH_PORT=" + strconv.Itoa(int(p.CatchPort)),
	}
}

// NoIPv6 is what the script prints in place of the IPv6 rules where the kernel has
// no IPv6 at all.
const NoIPv6 = "# ipv6: absent"

// Verify compares the rules that were read back in the namespace with the plan,
// line by line: a rule that is missing, is added or stands elsewhere is an error.
func (p Plan) Verify(readBack []string) error {
	want := map[string][]string{}
	section := func(r Rule) string {
		if r.IPv6 {
			return "# ipv6 " + r.Table
		}
		return "# ipv4 " + r.Table
	}
	var order []string
	for _, r := range p.Namespace() {
		s := section(r)
		if _, seen := want[s]; !seen {
			order = append(order, s)
		}
		want[s] = append(want[s], r.Spec)
	}
	var got []string
	for _, line := range readBack {
		if line = strings.TrimSpace(line); line != "" {
			got = append(got, line)
		}
	}
	var expected []string
	for _, s := range order {
		if strings.HasPrefix(s, "# ipv6") && len(got) > 0 && got[len(got)-1] == NoIPv6 {
			expected = append(expected, NoIPv6)
			break
		}
		expected = append(append(expected, s), want[s]...)
	}
	for i := range max(len(expected), len(got)) {
		switch {
		case i >= len(got):
			return fmt.Errorf("the walls lack the rule %q", expected[i])
		case i >= len(expected):
			return fmt.Errorf("the walls have a rule that is not planned: %q", got[i])
		case expected[i] != got[i]:
			return fmt.Errorf("the walls differ from the plan: want %q, found %q", expected[i], got[i])
		}
	}
	return nil
}
