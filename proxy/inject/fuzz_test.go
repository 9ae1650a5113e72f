package inject

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/av-project/av/vault"
)

// FuzzSwap holds Swap to the plainest program that does the same, and to what it is for:
// of the client's placeholders none is left, and each value is read as it was stored.
func FuzzSwap(f *testing.F) {
	f.Add("x__a__y__b__z", "one", "two")
	f.Add("__a__b__ __b__a__ __a____b__", "__b__", "__a__")
	f.Add(`{"k":"__a__","l":["__b__"]}`, "a\"b\\c\n\x00", "\u2028<é>")
	f.Add("q=__a__&r=__b__;%5f%5fa__", "a b&c=d+e%zz", "\xff")
	f.Add("__A__ _~b~_ ~b~", "", "~b~")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		values := map[string]string{"__a__": a, "__b__": b, "~b~": "<" + a + ">"}
		var marks []Mark
		for p, v := range values {
			marks = append(marks, Mark{p, "K", func() (vault.Value, error) { return vault.NewValue([]byte(v)), nil }})
		}
		for name, encode := range map[string]Encoding{"raw": Raw, "query": Query, "JSON": JSON} {
			got, err := Swap(text, marks, encode)
			want, pieces, fits := plainly(text, values, encode)
			if (err == nil) != fits || err == nil && got != want {
				t.Fatalf("%s: %q became %q (%v), want %q", name, text, got, err, want)
			}
			for _, piece := range pieces {
				if occurs(piece, marks) {
					t.Fatalf("%s: in %q a placeholder is left between the values: %q", name, text, piece)
				}
			}
		}
		// A value comes back as it was, out of whatever string or parameter it stands in.
		if in, err := Swap("x__a__y", marks, Query); err == nil {
			if out, err := url.QueryUnescape(in); err != nil || out != "x"+a+"y" {
				t.Fatalf("query: %q came back as %q, %v", a, out, err)
			}
		}
		if in, err := Swap(`"x__a__y"`, marks, JSON); err == nil {
			var out string
			if err := json.Unmarshal([]byte(in), &out); err != nil || out != "x"+a+"y" {
				t.Fatalf("JSON: %q came back as %q, %v", a, out, err)
			}
		}
		if json.Valid([]byte(text)) {
			if in, err := Swap(text, marks, JSON); err == nil && !json.Valid([]byte(in)) {
				t.Fatalf("%q became %q, which is no JSON", text, in)
			}
		}
	})
}

// plainly goes through text byte by byte. The pieces are what of the text is left.
func plainly(text string, values map[string]string, encode Encoding) (out string, pieces []string, fits bool) {
	piece := ""
next:
	for text != "" {
		for p, v := range values {
			if rest, ok := strings.CutPrefix(text, p); ok {
				encoded, err := encode(v)
				if err != nil {
					return "", nil, false
				}
				out, pieces, piece, text = out+encoded, append(pieces, piece), "", rest
				continue next
			}
		}
		out, piece, text = out+text[:1], piece+text[:1], text[1:]
	}
	return out, append(pieces, piece), true
}

// FuzzWatch: what is declared passes, whatever stands around it that is not watched for;
// an encoding of it does not, and is told in words of ours alone; and what passes in a
// path passes in a form.
func FuzzWatch(f *testing.F) {
	f.Add("bot", "/x", "%5F")
	f.Add("a", "b", "__kye__ %255f%255fkey__")
	f.Add(`\`, `u005f`, "x__Key__")
	w := Watch{On: "path", Here: []string{"__key__", "~tok~"}, Elsewhere: []string{"__other__"}}
	f.Fuzz(func(t *testing.T, before, after, text string) {
		_ = w.Text(text, formJSON) // it returns
		if w.Path(text) == nil && (w.Text(text, formQuery) != nil || w.Text(text, formRaw) != nil) {
			t.Fatalf("%q passes in a path, and not in a form or a text", text)
		}
		if strings.ContainsAny(before+after, "_~%") {
			return
		}
		for _, p := range w.Here {
			if err := w.Path(before + p + after); err != nil {
				t.Fatalf("%q before and %q after %s: %v", before, after, p, err)
			}
			err := w.Path(before + "%" + hexOf(p[0]) + p[1:] + after)
			if want := "the placeholder " + p + " stands in the path in another spelling"; err == nil || err.Error() != want {
				t.Fatalf("%q before and %q after %s, encoded: %v", before, after, p, err)
			}
		}
	})
}

func hexOf(c byte) string {
	const hex = "0123456789abcdef"
	return string([]byte{hex[c>>4], hex[c&15]})
}
