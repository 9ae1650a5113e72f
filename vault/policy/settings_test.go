package policy

import (
	"strings"
	"testing"
	"time"
)

func TestSettingsAreReadAsTheyWereWritten(t *testing.T) {
	list, err := Settings("f", []byte("a: x\nb: [010, true, \"q\"]\nc: 0x10\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.Key+"="+strings.Join(s.Values, ","))
	}
	if want := "a=x b=010,true,q c=0x10"; strings.Join(got, " ") != want || list[0].List || !list[1].List || list[2].Line != 3 {
		t.Errorf("got %q, %+v", got, list)
	}
	for _, text := range []string{"", "x", "[a]", "a:", "a: {b: c}", "a: [[b]]", "a: &x b", "a: !!str b", "a: b\na: c", "1: b", "a: b\n---\nc: d"} {
		if list, err := Settings("f", []byte(text), ""); err == nil {
			t.Errorf("%q is taken for %+v", text, list)
		}
	}
}

// It takes one or two seconds; a file of four times the ceiling would take more than are given here.
func TestSettingsFileOfLineBreaksIsReadInTime(t *testing.T) {
	for _, breaks := range []string{"\r", "\n "} {
		began := time.Now()
		_, _ = Settings("f", []byte("a: |\n "+strings.Repeat(breaks, (maxSettings-10)/len(breaks))), "")
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%q: %v", breaks, took)
		}
	}
}

func TestSettingsFileIsReadUpToItsCeiling(t *testing.T) {
	text := "a: b\n#" + strings.Repeat("x", maxSettings)
	if _, err := Settings("f", []byte(text[:maxSettings]), ""); err != nil {
		t.Errorf("at the ceiling: %v", err)
	}
	if _, err := Settings("f", []byte(text[:maxSettings+1]), ""); err == nil {
		t.Error("one byte more is read")
	}
}

// A project's file is anybody's. Whatever it is, it is read or refused, and no key is read twice
// or without a value.
func FuzzSettings(f *testing.F) {
	f.Add("a: x\nb: [010, true, \"q\"]\nc: |\n  text\n")
	f.Add("a: &x [b]\nc: *x\n<<: {d: e}\n? [f]\n: g\n")
	f.Add("- a\n--- !!map\n...\n%YAML 1.2\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Settings("f", []byte(text), "help")
		if err != nil {
			if list != nil || err.Error() == "" {
				t.Fatalf("%v and %+v", err, list)
			}
			return
		}
		seen := map[string]bool{}
		for _, s := range list {
			if seen[s.Key] || s.Line < 1 || !s.List && len(s.Values) != 1 || s.Errorf("", "x").Error() == "" {
				t.Fatalf("%+v of %q", s, text)
			}
			seen[s.Key] = true
		}
	})
}
