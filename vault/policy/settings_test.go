package policy

import (
	"strings"
	"testing"
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

func TestSettingsFileIsReadUpToItsCeiling(t *testing.T) {
	text := "a: b\n#" + strings.Repeat("x", maxSettings)
	if _, err := Settings("f", []byte(text[:maxSettings]), ""); err != nil {
		t.Errorf("at the ceiling: %v", err)
	}
	if _, err := Settings("f", []byte(text[:maxSettings+1]), ""); err == nil {
		t.Error("one byte more is read")
	}
}
