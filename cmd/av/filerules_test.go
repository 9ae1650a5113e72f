package main

import (
	"io"
	"slices"
	"testing"

	"github.com/spf13/pflag"

	"github.com/av-project/av/netiso"
)

// A new flag of av run is looked at once more: what may a file in the project, which the
// agent can write, do with it?
func TestEveryFlagOfARunHasARuleForFiles(t *testing.T) {
	e := &env{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}
	root := rootCommand(e)
	run, _, err := root.Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	run.InitDefaultHelpFlag()
	seen := map[string]bool{}
	look := func(f *pflag.Flag) {
		seen[f.Name] = true
		switch rule, known := fileRules[f.Name]; {
		case !known:
			t.Errorf("--%s has no rule: say in filerules.go what a project's file may do with it", f.Name)
		case (rule.refused == "") == (rule.asks == ""):
			t.Errorf("--%s: either it is refused, or there is something that it asks for", f.Name)
		case rule.harmless != nil && f.Value.Type() == "string" && rule.harmless("something else", nil):
			t.Errorf("--%s: anything is harmless", f.Name)
		}
	}
	run.Flags().VisitAll(look)
	run.InheritedFlags().VisitAll(look)
	for name := range fileRules {
		if !seen[name] {
			t.Errorf("there is a rule for --%s, and no such flag", name)
		}
	}
	if len(seen) < 10 {
		t.Errorf("looked at %d flags", len(seen))
	}
}

func TestLimitIsHarmlessWhereItIsTighterThanWhatHolds(t *testing.T) {
	for _, c := range []struct {
		value string
		user  []string
		want  bool
	}{
		{"connections=10", nil, true},
		{"connections=1024", nil, true},
		{"connections=1025", nil, false},
		{"max_bytes_out=10GB", nil, true}, // without it there is no bound at all
		{"max_bytes_out=10GB", []string{"max-bytes-out=1MB"}, false},
		{"max_bytes_out@api.example.com=1MB", []string{"max_bytes_out=1MB"}, true},
		{"idle=2h", nil, false},
		{"idle=1m", nil, true},
		{"nonsense", nil, false},
	} {
		if got := tighterLimit(c.value, c.user); got != c.want {
			t.Errorf("%s beside %v: %v", c.value, c.user, got)
		}
	}
}

// What a project says unasked takes nothing away: neither from what the user's file says nor
// from what holds anyway, such as that a box is on no network.
func TestProjectsFileTakesNothingAway(t *testing.T) {
	for _, c := range []struct {
		flag, value string
		user        []string
		want        bool
	}{
		{"workspace", "ro", nil, true}, {"workspace", "ro", []string{"copy"}, true}, {"workspace", "copy", nil, true}, {"workspace", "copy", []string{"bind"}, true},
		{"workspace", "copy", []string{"ro"}, false}, {"workspace", "bind", []string{"bind"}, false},
		{"host-walls", "require", nil, false}, {"host-walls", "off", nil, false}, {"relay", "socket", nil, true}, {"relay", "bridge", nil, false},
		{"isolation", "container", nil, true}, {"isolation", "host", []string{"host"}, false},
	} {
		rule := fileRules[c.flag]
		if got := rule.harmless != nil && rule.harmless(c.value, c.user); got != c.want {
			t.Errorf("%s: %s beside %v: %v", c.flag, c.value, c.user, got)
		}
	}
}

func TestRunIsNamedByEnoughOfItsID(t *testing.T) {
	live := []netiso.Note{{Run: "7f3a0001"}, {Run: "7f3a0002"}, {Run: "10000000"}}
	for id, want := range map[string]string{"7f3a0001": "7f3a0001", "1": "10000000", "7f3a": "", "8": "", "7f3a00012": ""} {
		got, err := runNamed(live, id)
		if got.Run != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", id, got.Run, err)
		}
	}
}

func TestItemsOfAHigherSourceReplaceThoseOfTheSameName(t *testing.T) {
	got := lastOfEach([]valueFrom{{"A=1", "user"}, {"B=1", "user"}, {"A=2", "project"}, {"C", "flag"}, {"C=3", "flag"}})
	want := []valueFrom{{"B=1", "user"}, {"A=2", "project"}, {"C", "flag"}, {"C=3", "flag"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
