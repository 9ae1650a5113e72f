// Package limits_test holds the ceilings of the sources against docs/limits.md.
// It works the constants out here and reads the tables there; neither can change without the other.
package limits_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// noCeilings are constants whose names are those of ceilings, and why they are none.
var noCeilings = map[string]string{
	"vault/policy.DefaultPort": "the port of a host that names none",
}

// untested are ceilings that nobody meets, and so no test can, each with the reason.
var untested = map[string]string{
	"cmd/av.goneTimeout":           "an engine would have to hang for as long",
	"cmd/av.explainTimeout":        "the same; without an engine it answers at once",
	"cmd/av.maxRunFile":            "vault/policy.maxSettings is met before it",
	"cmd/av.suspendPatience":       "only a signal that the kernel loses would meet it",
	"runner.lookTimeout":           "an engine would have to take so long for all that it is asked",
	"runner/console.helloTimeout":  "a client of one's own would have to be silent for as long",
	"runner/console.inputPatience": "a command would have to leave its terminal unread for as long",
	"cmd/av.sweepTimeout":          "the engine would have to hang",
	"netiso.dialTimeout":           "the gate would have to hang",
	"netiso.keeperPatience":        "the keeper would have to hang",
	"netiso.raiseTimeout":          "the engine would have to hang",
	"runner.countTimeout":          "the kernel would have to hang",
	"runner.maxOwnErrors":          "the kernel would have to refuse its root eight times",
	"runner.giverMemory":           "it needs a tenth of it, whatever the agent has made",
	"runner.giverPids":             "it starts nothing",
	"proxy.eventBuffer":            "the size of a piece: what is longer comes in several",
	"proxy.copyBuffer":             "the size of a piece: what is longer comes in several",
	"proxy.upstreamReadBuffer":     "the same",
	"proxy.upstreamWriteBuffer":    "the same",
}

// row is a line of a table.
type row struct{ name, value, of, happens, test string }

func TestEveryCeilingIsInTheDocumentWithItsTest(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range check(sources, string(doc), noCeilings, untested) {
		t.Error(problem)
	}
}

// check returns every difference between the sources and the document, one line each.
func check(t *tree, doc string, none, untested map[string]string) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	rows, bad := parseRows(doc)
	problems = append(problems, bad...)
	for _, name := range slices.Sorted(maps.Keys(t.ceilings)) {
		if _, ok := rows[name]; !ok && none[name] == "" {
			v, err := t.value(name)
			if err != nil {
				say("%s: %v", name, err)
			}
			say("%s has no row in docs/limits.md; fill in and paste: | `%s` | %s | of what | what happens there | `Test…` |", name, name, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		problems = append(problems, t.checkRow(rows[name], untested)...)
	}
	for _, exceptions := range []map[string]string{none, untested} {
		for _, name := range slices.Sorted(maps.Keys(exceptions)) {
			if t.constants[name] == nil {
				say("the exception %s is no constant", name)
			}
		}
	}
	return problems
}

func (t *tree) checkRow(r row, untested map[string]string) (problems []string) {
	say := func(format string, args ...any) {
		problems = append(problems, r.name+": "+fmt.Sprintf(format, args...))
	}
	_, field := t.fields[r.name]
	if t.constants[r.name] == nil && !field {
		return []string{r.name + " is in docs/limits.md and in no source"}
	}
	said, err := parseValue(r.value)
	if err != nil {
		say("cannot read its value %q: %v", r.value, err)
		return problems
	}
	is, err := t.value(r.name)
	if err != nil {
		say("%v", err)
		return problems
	}
	if !said.is(is) {
		say("the document says %s, the source %s; paste: | `%s` | %s | %s | %s | %s |", r.value, is, r.name, is, r.of, r.happens, r.test)
	}
	if r.of == "" || r.happens == "" {
		say("the row does not say of what it is, or what happens")
	}
	if r.test == "-" {
		if untested[r.name] == "" {
			say("it has no test")
		}
		return problems
	}
	if untested[r.name] != "" {
		say("it has a test and an exception from having one")
	}
	for test := range strings.SplitSeq(r.test, ", ") {
		if name := strings.Trim(test, "`"); !t.tests[name] {
			say("there is no test %s", name)
		}
	}
	return problems
}

// parseRows reads all tables whose first column is a name in code.
func parseRows(doc string) (rows map[string]row, bad []string) {
	rows = map[string]row{}
	for line := range strings.Lines(doc) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 5 {
			bad = append(bad, fmt.Sprintf("%d columns, want 5: %s", len(cells), line))
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		name := strings.Trim(cells[0], "`")
		if _, twice := rows[name]; twice {
			bad = append(bad, name+" has two rows")
		}
		rows[name] = row{name, cells[1], cells[2], cells[3], cells[4]}
	}
	return rows, bad
}
