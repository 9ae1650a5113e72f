package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault/policy"
)

func TestTemplateIsExpandedKeyByKey(t *testing.T) {
	values := map[string]string{"A": "one", "B_2": "{{ A }}", "EMPTY": ""}
	for _, c := range []struct {
		template, want string
		keys           []string
	}{
		{"", "", nil},
		{"agents", "agents", nil},
		{"{{ A }}", "one", []string{"A"}},
		{"{{A}}", "one", []string{"A"}},
		{"{{   A}}", "one", []string{"A"}},
		{"Key {{ A }}!", "Key one!", []string{"A"}},
		{"{{ B_2 }}:{{ A }}:{{ A }}", "{{ A }}:one:one", []string{"A", "B_2"}},
		{"[{{ EMPTY }}]", "[]", []string{"EMPTY"}},
		{`{"k":"{{ A }}"}`, `{"k":"one"}`, []string{"A"}},
		{"{ A } } {", "{ A } } {", nil},
	} {
		parsed, err := policy.ParseTemplate(c.template)
		if err != nil {
			t.Errorf("%q: %v", c.template, err)
			continue
		}
		got, err := parsed.Expand(func(key string) (string, error) { return values[key], nil })
		if err != nil || got != c.want || !cmp.Equal(parsed.Keys(), c.keys) {
			t.Errorf("%q: %q with keys %q, %v; it prints as %q", c.template, got, parsed.Keys(), err, parsed)
		}
	}
}

func TestTemplateThatIsNotOneIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, s := range []string{
		"{{ sk-live-1 }}", "{{ sk_live }}", "{{}}", "{{ }}", "{{ A", "A }}", "{{ A }} }}", "{{ {{ A }} }}", "{{{ A }}", "{{ A B }}",
		"{{\tA }}", "{{ A | upper }}", "{{ .A }}", "sk-live\n", "sk-live-ü", strings.Repeat("sk-live", 200),
	} {
		_, err := policy.ParseTemplate(s)
		if err == nil || strings.Contains(err.Error(), "sk") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestTemplateEndsWithTheFirstValueThatIsMissing(t *testing.T) {
	parsed, err := policy.ParseTemplate("{{ A }}{{ B }}")
	if err != nil {
		t.Fatal(err)
	}
	missing := errors.New("missing")
	var asked []string
	got, err := parsed.Expand(func(key string) (string, error) { asked = append(asked, key); return "x", missing })
	if !errors.Is(err, missing) || got != "" || len(asked) != 1 {
		t.Errorf("%q, %v after %q", got, err, asked)
	}
}

// The law: an expansion with each key's own place gives the template back, however it was
// spaced; and what has no braces is its own expansion.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"", "{{ A }}", "{{A}}{{  B }}", "a {{ A_1 }} b", "{{{ A }}}", "{{ A }", "}}{{", "{}", "{{ A }}}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := policy.ParseTemplate(s)
		if err != nil {
			return
		}
		got, err := parsed.Expand(func(key string) (string, error) {
			if !policy.ValidKey(key) {
				t.Fatalf("%q: asked for %q", s, key)
			}
			return "{{" + key + "}}", nil
		})
		without := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if err != nil || without(got) != without(s) {
			t.Fatalf("%q became %q, %v", s, got, err)
		}
		blank, err := parsed.Expand(func(string) (string, error) { return "", nil })
		if err != nil || strings.Contains(s, "{{") != (len(parsed.Keys()) > 0) || len(parsed.Keys()) == 0 && blank != s {
			t.Fatalf("%q with keys %q became %q", s, parsed.Keys(), blank)
		}
	})
}
