package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	isolation  = "../../docs/isolation.md"
	tableBegin = "<!-- written by the tests from here: make golden -->\n"
	tableEnd   = "<!-- to here -->\n"

	enginesBegin = "<!-- and on other daemons: make golden -->\n"
	enginesEnd   = "<!-- to here too -->\n"

	blocked = "blocked"
)

// proved are attacks that have tests of their own, in which more happens than one line can say.
var proved = []struct{ id, try, test string }{
	{"A4", "a CONNECT line that two readers would read differently", "proxy/match/TestConnectLineThatCanBeReadTwoWaysIsRefused"},
	{"A5", "SSH, or anything but TLS, in a tunnel to port 443", "proxy/TestBytesThatAreNeitherTLSNorHTTPAreRefused"},
	{"A15", "a command that runs before the walls stand, or behind walls that only say so", "runner/TestNothingRunsBehindWallsThatAreNotProved"},
	{"A18", "a denied name, resolved by the proxy", "proxy/TestDeniedHostIsNotResolvedDialledOrMinted"},
	{"A21", "a tunnel that stays open when its grant is taken back", "proxy/TestTunnelClosesWhenItsGrantIsTakenBack"},
	{"A21", "a tunnel that stays open when its run has ended", "proxy/TestEndedSessionClosesItsTunnels"},
	{"B3, B4", "the proxy as a way to the host, its network and metadata", "proxy/TestInnerNetworkCannotBeReachedThroughAnOpenPolicy"},
	{"B4", "what `--host-service` opens, as a way to anything else of the host", "cmd/av/TestHostServiceIsOneEndpointOfTheHostAndNoMore"},
	{"B5", "an address that stands for another", "proxy/egress/TestTranslatedAddressIsJudgedAsTheOneItStandsFor"},
	{"B7", "an address of a special kind", "proxy/egress/TestNoSpecialPurposePrefixOfTheRegistriesMayBeDialled"},
	{"B8", "a name that changes its address, or has a private one among others", "proxy/egress/TestJudgedAddressIsTheOneDialled"},
	{"B11, B12, B13", "a box, and its way to the proxy, from another box, another container and the host", "cmd/av/TestBoxIsOutOfReachOfItsNeighbours"},
	{"B13", "an identity after its run", "proxy/TestEndedSessionRefusesTheNextRequest"},
	{"F10", "the relay, as the gate's user", "cmd/av/TestGatesUserGetsNothingFromTheRelayWithoutTheRunsCertificate"},
	{"F10", "a file that runs as root, left in the workspace", "cmd/av/TestFilesThatRootMadeInTheWorkspaceAreGivenToItsOwner"},
	{"F12", "a kept home used by two, or by another folder", "cmd/av/TestKeptHomeIsOneRunsAtATimeAndStaysUntilItIsRemoved"},
	{"F13", "floods of output, processes, files and shared memory", "cmd/av/TestFloodsStayInTheBox"},
	{"F13", "more memory than the box has", "cmd/av/TestBoxThatRunsOutOfItsMemoryIsEndedAndSaysSo"},
	{"F16", "flags that would open the box", "cmd/av/TestScripts"},
	{"G1", "`kill -9` of av", "cmd/av/TestKilledRunIsTakenApartByItsWatchdog"},
	{"G5", "what leaves by packets in the table above, while the proxy hangs and after it was killed with its watchdog", "cmd/av/TestBoxWhoseProxyIsGoneHasNoWayOut"},
	{"G6", "exit codes, and ends by a signal", "cmd/av/TestExitCodesComeBackAsTheyWere"},
	{"G6", "Ctrl-C and a new size", "cmd/av/TestTerminalIsTheCommandsOwn"},
	{"G6", "SIGTERM and SIGINT", "cmd/av/TestSignalsReachTheCommandAndItsExitCodeComesBack"},
	{"G6", "a terminal that is closed", "cmd/av/TestClosedTerminalEndsTheRun"},
	{"G10", "a dead run whose stopped containers hold its network", "cmd/av/TestPruneClearsTheDeadAndSparesTheLiving"},
	{"G11", "an engine that is restarted while a run is under way", "cmd/av/TestGoldenNothingLeavesTheBoxOnOtherEngines"},
	{"G11", "a full disk", "cmd/av/TestRunOnAFullDiskFailsCleanly"},
	{"F1", "a git hook, git's configuration and what else the host's tools would execute: written, renamed, removed, replaced, moved away", "cmd/av/TestBoxCannotChangeWhatTheHostWouldExecute"},
	{"F1", "the repository of a linked worktree, and a `.git` file that names another folder", "cmd/av/TestGitWorksInALinkedWorktreeAndItsRepositoryIsClosed"},
	{"F4", "such a file where there was none", "cmd/av/TestWhatCameOutOfTheBoxIsTold"},
	{"F4", "by a moved folder, a link, another git folder", "runner/protect/TestWhatToolsWouldExecuteIsFoundHoweverItGotThere"},
	{"F7", "a link to keys that an agent left for the next run", "cmd/av/TestLinkThatAnAgentLeftDoesNotLeadTheNextRunOut"},
	{"F7", "a mount that is swapped after it was looked at", "cmd/av/TestMountThatIsSwappedAfterItWasLookedAtDoesNotRun"},
	{"F7", "a way out of the folder when a copy is applied", "runner/workcopy/TestConflictAppliesNothing"},
	{"", "one wall without the other", "cmd/av/TestEachWallStandsWithoutTheOther"},
}

// TestIsolationPageNamesEveryAttackAndTest needs no engine: a row that was added or renamed shows on any machine.
func TestIsolationPageNamesEveryAttackAndTest(t *testing.T) {
	if *update {
		t.Skip("the page is written by the test that has tried")
	}
	all := attackTable()
	results := make([][]string, len(users))
	for u, who := range users {
		for _, a := range all {
			results[u] = append(results[u], expected(a, who.flags))
		}
	}
	compareDoc(t, renderAttacks(all, results))
	compareRegion(t, enginesBegin, enginesEnd, renderEngines(slices.Repeat([]string{blocked}, len(otherEngines))))
	for _, p := range proved {
		dir, name := filepath.Split(p.test)
		files, err := filepath.Glob("../../" + dir + "*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			return err == nil && slices.ContainsFunc(parsed.Decls, isFunc(name))
		}) {
			t.Errorf("%s: there is no test %s in %s", p.try, name, dir)
		}
	}
}

// compareDoc holds the page against what it should say, or writes that into it.
func compareDoc(t *testing.T, want string) {
	t.Helper()
	compareRegion(t, tableBegin, tableEnd, want)
}

// compareRegion does that for what stands between two lines.
func compareRegion(t *testing.T, begin, end, want string) {
	t.Helper()
	page, err := os.ReadFile(isolation)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", isolation)
	}
	if *update {
		if err := os.WriteFile(isolation, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("%s is not what the tests say (make golden writes it anew):\n%s", isolation, diff)
	}
}

// renderAttacks writes the tables; results are those of each user, in the order of users.
func renderAttacks(all []attack, results [][]string) string {
	type line struct {
		attack
		with    []string
		results []string
	}
	var lines []*line
	for i, a := range all {
		at := slices.IndexFunc(lines, func(l *line) bool { return l.id == a.id && l.try == a.try })
		if at < 0 {
			at = len(lines)
			lines = append(lines, &line{attack: a, results: slices.Repeat([]string{blocked}, len(users))})
		}
		l := lines[at]
		if !slices.Contains(l.with, a.with) {
			l.with = append(l.with, a.with)
		}
		for u := range users {
			if results[u][i] != blocked {
				l.results[u] = results[u][i]
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b *line) int { return compareIDs(a.id, b.id) })
	var out strings.Builder
	out.WriteString("\n| | tried | with | seen by | gets through in |")
	for _, u := range users {
		out.WriteString(" " + u.name + " |")
	}
	out.WriteString("\n" + strings.Repeat("|---", 5+len(users)) + "|\n")
	for _, l := range lines {
		sink, control := string(l.sink), l.control
		if l.sink == right {
			sink = "being given it"
		}
		if control == "" {
			control = ordinary
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s | %s |\n", l.id, l.try, strings.Join(l.with, ", "), sink, control, strings.Join(l.results, " | "))
	}
	out.WriteString("\nTried in tests of their own:\n\n| | tried | test |\n|---|---|---|\n")
	for _, p := range proved {
		fmt.Fprintf(&out, "| %s | %s | `%s` |\n", p.id, p.try, p.test)
	}
	out.WriteString("\n")
	return out.String()
}

// compareIDs sorts A2 before A10.
func compareIDs(a, b string) int {
	if a[0] != b[0] {
		return int(a[0]) - int(b[0])
	}
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func isFunc(name string) func(ast.Decl) bool {
	return func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Name.Name == name
	}
}
