package policy_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func TestPlaceholderCannotStandInARequestByChance(t *testing.T) {
	for _, p := range []string{"__account_sid__", "sid.value", "sid-val", "~sid~", "a__b", "__x_", "...a", strings.Repeat("_", 127) + "a"} {
		if err := policy.CheckPlaceholder(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for p, want := range map[string]string{
		"":                       "shorter than 4",
		"_a_":                    "shorter than 4",
		"~a~":                    "shorter than 4",
		"account_sid":            "word of a real path",
		"Accounts":               "word of a real path",
		"1234":                   "word of a real path",
		"____":                   "no letter and no digit",
		"~~~~":                   "no letter and no digit",
		"{sid}":                  "a character other",
		"__a b__":                "a character other",
		"__a/b__":                "a character other",
		"__a%62__":               "a character other",
		"__ü__":                  "a character other",
		"__a\x00__":              "a character other",
		"<key>":                  "a character other",
		strings.Repeat("a_", 65): "longer than 128",
	} {
		err := policy.CheckPlaceholder(p)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", p, err, want)
		}
	}
}

// The law: a placeholder is written in one way on every surface, and is no plain word.
func FuzzPlaceholder(f *testing.F) {
	for _, s := range []string{"__a__", "abc", "a.b.", "____", "~~a~", "__\x00a", "%5F_a_", "a b_", "__é__"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if policy.CheckPlaceholder(p) != nil {
			return
		}
		if url.PathEscape(p) != p || url.QueryEscape(p) != p {
			t.Fatalf("%q is accepted, and is encoded as %q or %q", p, url.PathEscape(p), url.QueryEscape(p))
		}
		if len(p) < 4 || strings.Trim(p, "-._~") == "" {
			t.Fatalf("%q is accepted", p)
		}
		if word := strings.NewReplacer("__", " ", "-", " ", ".", " ", "~", " ").Replace(p); word == p {
			t.Fatalf("%q is accepted, and is a word", p)
		}
		if again, err := policy.Parse("f", []byte(one("name: a", "host: a.test", "auth: {type: passthrough}",
			`substitutions: [{key: K, placeholder: "`+p+`"}]`)), noFiles); err != nil || again[0].Substitutions[0].Placeholder != p {
			t.Fatalf("%q in a file: %v, %v", p, again, err)
		}
	})
}
