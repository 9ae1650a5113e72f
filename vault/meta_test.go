package vault

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsSaidIsReadBackTheSame(t *testing.T) {
	three := 3
	for text, m := range map[string]meta{
		"":              {Version: 1},
		`{"version":2}`: {Version: 2},
		`{"version":1,"hosts":["*.a.test","b.test"]}`:                {Version: 1, Hosts: []string{"*.a.test", "b.test"}},
		`{"version":7,"ref":"exec","keep":60000000000,"versions":3}`: {Version: 7, Ref: "exec", Keep: time.Minute, Versions: &three},
	} {
		if m.String() != text {
			t.Errorf("%+v is %s, want %s", m, m.String(), text)
		}
		if got, err := parseMeta(text); err != nil || !cmp.Equal(got, m) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	// A second spelling of the same would be a row that nobody wrote.
	for _, text := range []string{
		`{}`, `null`, `{"version":1}`, `{"version":0}`, `{"version":-1}`, `{"version":2} `, `{"Version":2}`, `{"version":2,"x":1}`,
		`{"version":2,"hosts":[]}`, `{"version":2.0}`, `[2]`, `2`, `{`, `{"version":2}{"version":3}`,
	} {
		if got, err := parseMeta(text); err == nil {
			t.Errorf("%s: read as %+v", text, got)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add("")
	f.Add(`{"version":2,"hosts":["a.test"],"ref":"env","keep":1,"versions":0}`)
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseMeta(text); err == nil && m.String() != text {
			t.Errorf("%q is read as %+v, which is %q", text, m, m.String())
		}
	})
}
