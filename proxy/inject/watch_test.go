package inject

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// watched has one placeholder here and one elsewhere.
var watched = Watch{On: "query", Here: []string{"__account_sid__", "__key__"}, Elsewhere: []string{"__other__"}}

// judged is what a watch says: "" for nothing, else the kind and the nearest.
func judged(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	unknown, ok := errors.AsType[*UnknownError](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	return string(unknown.Kind) + " " + unknown.Nearest
}

func TestUnknownPlaceholderIsFoundInPathQueryAndHeader(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// Controls: what is declared, and what has not the shape.
		{"", ""}, {"/a/b", ""}, {"/__account_sid__/x", ""}, {"x__key__y__account_sid__", ""}, {"__key____account_sid__", ""},
		{"/__key", ""}, {"/_key_", ""}, {"/__", ""}, {"____", ""}, {"/a__b__c", ""}, {"created__date__gte=1", ""}, {"__Host-id=1", ""},
		{"__a__b__", ""}, {"___x___", ""}, {"__a-b__", ""}, {"%zz%", ""}, {"100%", ""}, {"__key__init__", ""},

		// A typo, a word that nobody declared, and that beside one that is.
		{"/__acount_sid__", "unknown __account_sid__"},
		{"__x__", "unknown __account_sid__"}, {"a=__kye__&b=c", "unknown __key__"}, {"__a_b_1__", "unknown __account_sid__"},
		{"__key__/__kex__", "unknown __key__"}, {"__key____kex__", "unknown __key__"},
		// Within a word, as a Telegram token stands, and with an underscore too few.
		{"/bot__acount_sid__/x", "unknown __account_sid__"}, {"/bot__account_sdi__x", "unknown __account_sid__"},
		{"/__account_sid_/x", "unknown __account_sid__"}, {"/_account_sid__", "unknown __account_sid__"},
		// In another spelling, however deep.
		{"__ACCOUNT_SID__", "spelled __account_sid__"}, {"x__Key__y", "spelled __key__"},
		{"%5F%5Faccount_sid__", "spelled __account_sid__"}, {"%5f_%6b%65y__", "spelled __key__"}, {"%255F_key__", "spelled __key__"},
		{"%25255F_KEY_%5F", "spelled __key__"}, {"%22__kye__%22", "unknown __key__"}, {"%5F%5Fkye__", "unknown __key__"},
		// Declared, but not here.
		{"/__other__", "elsewhere __other__"}, {"a__other__b", "elsewhere __other__"}, {"__OTHER__", "elsewhere __other__"},
	} {
		if got := judged(t, watched.Query(c.text)); got != c.want {
			t.Errorf("query %s: %q, want %q", c.text, got, c.want)
		}
		if got := judged(t, watched.Path(c.text)); got != c.want {
			t.Errorf("path %s: %q, want %q", c.text, got, c.want)
		}
		if deep := strings.Contains(c.text, "%25"); !deep {
			if got := judged(t, watched.Header(http.Header{"X-Note": {"fine", c.text}})); got != c.want {
				t.Errorf("header %s: %q, want %q", c.text, got, c.want)
			}
			for _, pair := range []string{c.text + ":x", "x:" + c.text, c.text} {
				h := http.Header{"Authorization": {"basic " + encodeBase64(pair)}}
				if got := judged(t, watched.Header(h)); got != c.want {
					t.Errorf("basic %s: %q, want %q", pair, got, c.want)
				}
			}
		}
		// A surface that declares nothing is not looked at.
		none := Watch{On: "query", Elsewhere: []string{"__account_sid__", "__key__"}}
		if err := errors.Join(none.Query(c.text), none.Path(c.text), none.Header(http.Header{"X-Note": {c.text}})); err != nil {
			t.Errorf("%s where nothing is declared: %v", c.text, err)
		}
	}
}

func TestHeaderThatDoesNotArriveIsNotWatched(t *testing.T) {
	h := http.Header{"Connection": {"__kye__, x-dropped"}, "X-Dropped": {"__kye__"}, "Te": {"__kye__"}}
	if err := watched.Header(h); err != nil {
		t.Error(err)
	}
	h["X-Arrives"] = []string{"__kye__"}
	if watched.Header(h) == nil {
		t.Error("control: one that arrives is not watched")
	}
}

// Where no placeholder has the shape __name__, a word that has it is no mistake.
func TestPlaceholderOfAnotherShapeIsWatchedForItsSpellingsAlone(t *testing.T) {
	for placeholder, other := range map[string][]string{
		"sk-fake~1":  {"SK-fake~1", "sk%2dfake~1", "a sk-FAKE~1.", "%2573k-fake~1"},
		"x.y.z":      {"X.y.z", "x%2Ey.z"},
		"my__secret": {"MY__secret", "my_%5fsecret"},
		"__a-b__":    {"__A-b__", "__a%2db__"},
	} {
		w := Watch{On: "path", Here: []string{placeholder}}
		for _, text := range []string{"/__init__/x", "sk-fake", "my_secret", placeholder, "x" + placeholder + "y", "/%zz%41"} {
			if err := w.Path(text); err != nil {
				t.Errorf("%s where %s is declared: %v", text, placeholder, err)
			}
		}
		for _, text := range other {
			if got := judged(t, w.Path(text)); got != "spelled "+placeholder {
				t.Errorf("%s where %s is declared: %q", text, placeholder, got)
			}
		}
	}
}

// Chat histories and sources hold any word there is, and a false alarm ends a day's work.
func TestBodyIsWatchedForOtherSpellingsAlone(t *testing.T) {
	kind := func(contentType string) Form {
		form, ok := Body(http.Header{"Content-Type": {contentType}})
		if !ok {
			t.Fatal(contentType)
		}
		return form
	}
	text, form, json := kind("text/plain"), kind("application/x-www-form-urlencoded"), kind("application/json")
	for _, c := range []struct {
		form       Form
		text, want string
	}{
		{text, "def __init__(self): __name__, __dirname__, __acount_sid__, __kye__ and bot__account_sdi__", ""},
		{text, "__key__ and x__key__y", ""}, {text, "MY__KEY__X and __KEY__2", ""}, {text, "%5f%5fkey__ \\u005f_key__", ""},
		{text, "is __KEY__!", "spelled __key__"}, {text, "__key__ __Key__", "spelled __key__"},
		{text, "is __other__!", ""}, {text, "is __OTHER__!", ""},
		{form, "a=__init__&b=%5F%5Fname%5F%5F", ""}, {form, "a=%5F%5Fkey__", "spelled __key__"}, {form, "a=x%5f%5fKEY__", ""},
		{form, "a=%22%5f%5fKEY__%22", "spelled __key__"}, {form, "a=%5F_other__", ""}, {form, "a=%255F_key__", ""},
		{json, `{"a":"__init__ \u00e9\u005f\u005fname__"}`, ""}, {json, `"\u005f_key__"`, "spelled __key__"},
		{json, `"x__k\u0065y\u005F_y"`, "spelled __key__"}, {json, `"\\u005f_key__"`, ""}, {json, `"\\\u005f_key__"`, "spelled __key__"},
		{json, `"\u005"`, ""}, {json, `"\`, ""}, {json, `"%5f_key__"`, ""}, {json, `"\u005f_OTHER__"`, ""}, {json, `"\n__KEY__\n"`, ""},
	} {
		if got := judged(t, watched.Text(c.text, c.form)); got != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestUnknownPlaceholderIsNotRepeated(t *testing.T) {
	err := watched.Query("q=__s3cret__")
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "query") || !strings.Contains(err.Error(), "__account_sid__") {
		t.Errorf("error %v", err)
	}
}

// BenchmarkWatch is the usual case: a text without a pair of underscores.
func BenchmarkWatch(b *testing.B) {
	text := strings.Repeat(`{"role":"user","content":"nothing to see in this_one, or in that"},`, 1<<20/68)
	json, _ := Body(http.Header{"Content-Type": {"application/json"}})
	b.Run("body", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if err := watched.Text(text, json); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("path", func(b *testing.B) {
		for b.Loop() {
			if err := watched.Path("/2010-04-01/Accounts/AC/Messages.json"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
