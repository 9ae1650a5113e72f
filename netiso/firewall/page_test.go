package firewall

import (
	"fmt"
	"strings"
	"testing"
)

// page is docs/firewall.md but for its tables, which the rules themselves fill.
const page = `# The walls

Every rule of a run, with its reason. ` + "`make golden`" + ` writes this page from the rules in ` + "`netiso/firewall`" + `, and a test fails when
it differs from them: what is written here is what stands. The run in the example is on a network (` + "`--relay=bridge`" + `); it is ` + "`%[1]s`" + `, its relay listens on ` + "`%[2]s`" + `,
the gate's user is ` + "`%[3]d`" + `, and the gate takes what is caught on port ` + "`%[4]d`" + `. Order counts: the first rule that fits decides.

## In the box's network namespace

` + "`init-firewall.sh`" + ` puts these up before the agent exists, each table in one step, and prints them as the kernel has them. av
compares that with its plan line by line; a rule that is missing, added or moved ends the run before it begins. Then the gate
tries the walls, gives up every capability, and must fail to change them.

A box without a link (` + "`--relay=socket`" + `) has the same rules but for those marked *link*: no address but its own is reached from it, and the gate's
user is nobody special there. Its ` + "`eth0`" + ` is a pair of interfaces with both ends in the namespace, for there has to be one for a connection to be caught on its way out of
it. av looks that no other is up.

What TCP goes elsewhere is caught by the nat table and carried to the proxy, which judges it. What is no TCP is refused.

### IPv4, filter

%[5]s
### IPv4, nat

%[6]s
### IPv6, filter

A kernel without IPv6 gets none of these.

%[7]s
## On the host

The second lock of a box that is on a network, for this run's bridge alone. (A box without a link has none to wall.) It holds when every rule in the namespace is gone. Where av itself may not change
the host's rules, a container does that can: av's own program, from the gate's image, on the host's network with NET_ADMIN and
NET_RAW. It takes the walls down at the run's end, or once the bridge is gone when nobody tells it to. ` + "`--host-walls=auto`" + `, the default,
says so and goes on where neither can be had, ` + "`require`" + ` ends the run before it begins, and with ` + "`off`" + ` there are none.

Hooks are put at the top of chains that are not ours, in the engine's ` + "`DOCKER-USER`" + ` or, where it has made none, in ` + "`FORWARD`" + `. They carry the run and the av home in a comment, by which
` + "`av prune`" + ` finds those of dead runs. When a run has ended, the host's rules are what they were before it, line by line.

### IPv4, filter

%[8]s
### IPv6, filter

%[9]s
## Two kinds of iptables

A kernel has two sets of tables, nft and legacy, and a packet passes both. Each program called iptables sees one of them.

| | |
|---|---|
| the box | nft; legacy where the kernel has no nft. An engine on legacy has put its own nat rules into the namespace's legacy table: that table is emptied |
| the host | where the engine has its ` + "`DOCKER-USER`" + `, in both if it is in both; else in that of the host's own ` + "`iptables`" + `. Walls of dead runs are looked for in both |

av lists no legacy table on a machine that has none, for listing would make it.

## What is counted

At a run's end av reads how many packets met the rules marked *counted*, where it may (as root), less those that the gate
sent to try them. The receipt has the numbers, or null; the summary has what was refused. A rule on the host marked *alarm* meets a
packet only when the walls in the box do not hold, and av says so even when it is told to be quiet.
`

// row is one line of a table.
func row(rule, mark, why string) string {
	return fmt.Sprintf("| `%s` | %s | %s |\n", rule, mark, why)
}

const head = "| rule | | why |\n|---|---|---|\n"

func TestGoldenPageOfTheWallsSaysWhatStands(t *testing.T) {
	p := hostPlan()
	counted := map[string]bool{refuseUDP: true, refuseICMP: true, refuseRest: true, p.catchTCP(): true}
	alone := map[string]bool{}
	for _, r := range (Plan{GateUID: p.GateUID, CatchPort: p.CatchPort}).Namespace() {
		alone[r.Spec] = true
	}
	tables := map[string]*strings.Builder{}
	add := func(table, row string) {
		if tables[table] == nil {
			tables[table] = new(strings.Builder)
			tables[table].WriteString(head)
		}
		tables[table].WriteString(row)
	}
	for _, r := range p.Namespace() {
		if r.Why == "" {
			t.Errorf("%q has no reason", r.Spec)
		}
		mark := ""
		if counted[r.Spec] && !r.IPv6 {
			mark = "counted"
		}
		if !alone[r.Spec] {
			mark = "link"
		}
		add(fmt.Sprint(r.Table, r.IPv6), row(r.Spec, mark, r.Why))
	}
	for _, r := range p.Host(engineChain) {
		if r.Why == "" {
			t.Errorf("%q has no reason", r.text())
		}
		verb, mark := "-A ", ""
		if r.Hook {
			verb = "-I "
		}
		if r.Alarm {
			mark = "alarm"
		}
		add(fmt.Sprint("host", r.IPv6), row(verb+r.Chain+" "+r.text(), mark, r.Why))
	}
	got := fmt.Sprintf(page, p.Run, p.Relay, p.GateUID, p.CatchPort,
		tables["filterfalse"], tables["natfalse"], tables["filtertrue"], tables["hostfalse"], tables["hosttrue"])
	golden(t, "../../docs/firewall.md", got)
}
