package inject

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
)

// mark counts in asked how often its value was wanted.
func mark(placeholder, value string, asked *int) Mark {
	return Mark{placeholder, strings.ToUpper(strings.Trim(placeholder, "_")), func() (vault.Value, error) {
		*asked++
		return vault.NewValue([]byte(value)), nil
	}}
}

func TestSwapReplacesEachPlaceholderInOnePass(t *testing.T) {
	for _, c := range []struct {
		text, want string
		a, b       int // how often each value is asked for
	}{
		{"", "", 0, 0},
		{"nothing here, not even __A__ or _a_", "nothing here, not even __A__ or _a_", 0, 0},
		{"__a__", "<__b__>", 1, 0},
		{"x__a__y__b__z__a__", "x<__b__>y2z<__b__>", 2, 1},
		{"__b____a__", "2<__b__>", 1, 1},
		{"__a__b__", "<__b__>b__", 1, 0}, // the one on the left is taken
		{"__b__a__ __a__", "2a__ <__b__>", 1, 1},
		{"__a", "__a", 0, 0},
	} {
		var a, b int
		got, err := Swap(c.text, []Mark{mark("__a__", "<__b__>", &a), mark("__b__", "2", &b)}, Raw)
		if err != nil || got != c.want || a != c.a || b != c.b {
			t.Errorf("%q became %q (%d and %d asked, %v), want %q", c.text, got, a, b, err, c.want)
		}
	}
}

func TestSwapNamesTheKeyThatDoesNotFit(t *testing.T) {
	var asked int
	_, err := Swap("__a__", []Mark{mark("__a__", "s3cret\r\n", &asked)}, header)
	if key, ok := errors.AsType[*KeyError](err); !ok || key.Key != "A" || !errors.Is(err, ErrUnfit) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}

func TestValueInAPathChangesNoStep(t *testing.T) {
	for _, c := range []struct{ path, value, want string }{
		{"/a/__k__/b", "x", "/a/x/b"},
		{"/bot__k__/b", "12:A-b_c", "/bot12:A-b_c/b"},
		{"/a/__k__", "group/project", "/a/group%2Fproject"},
		{"/a/__k__", "x?y#z;w%\\ ", "/a/x%3Fy%23z%3Bw%25%5C%20"},
		{"/a/../__k__//b", "x", "/a/../x//b"}, // the client's own steps are the policy's to judge
		{"/a/__k__.", "x.", "/a/x.."},
		{"/a/__k__", ".", ""}, {"/a/__k__", "..", ""}, {"/a/__k__", "../x", ""}, {"/a/__k__", "x/..", ""}, {"/a/__k__", `x\..`, ""},
		{"/a/.__k__", ".", ""}, {"/a/%2e__k__", ".", ""}, {"/a/__k__", "%2e%2e", ""}, {"/a/__k__", "%252e", ""},
		{"/a/__k__", "..;x", ""}, {"/a/__k__", ";x", ""}, {"/a/__k__", "/x", ""}, {"/a/__k__", "x/", ""}, {"/a/__k__/b", "", ""},
	} {
		var asked int
		got, err := Path(c.path, []Mark{mark("__k__", c.value, &asked)})
		if got != c.want || errors.Is(err, ErrShape) != (c.want == "") || err != nil && c.want != "" {
			t.Errorf("%s with %q became %q, %v; want %q", c.path, c.value, got, err, c.want)
		}
	}
}

func TestPlaceholderInAHeaderIsReplacedInEveryValueThatArrives(t *testing.T) {
	var asked int
	marks := []Mark{mark("__k__", "v", &asked)}
	basic := func(pair string) string { return "Basic " + encodeBase64(pair) }
	h := http.Header{
		"X-Two": {"__k__", "and __k__"}, "Cookie": {"a=__k__; b=c"}, "Connection": {"close, x-dropped"}, "X-Dropped": {"__k__"}, "Te": {"__k__"},
		"Authorization": {basic("__k__:p__k__q"), basic("no:thing"), "Basic __k__", "Bearer __k__", basic("__k__")},
		"X-Auth":        {basic("__k__:x")}, // only where it is Basic's place
	}
	want := http.Header{
		"X-Two": {"v", "and v"}, "Cookie": {"a=v; b=c"}, "Connection": {"close, x-dropped"}, "X-Dropped": {"__k__"}, "Te": {"__k__"},
		"Authorization": {basic("v:pvq"), basic("no:thing"), "Basic v", "Bearer v", basic("v")},
		"X-Auth":        {basic("__k__:x")},
	}
	if err := Header(h, marks); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
	colon := []Mark{mark("__k__", "a:b", &asked)}
	if err := Header(http.Header{"Authorization": {basic("__k__:x")}}, colon); !errors.Is(err, ErrColon) {
		t.Errorf("a colon in a username: %v", err)
	}
	if err := Header(http.Header{"Authorization": {basic("x:__k__")}}, colon); err != nil {
		t.Errorf("a colon in a password: %v", err)
	}
}

func TestSlotsThatLookAlikeDoNotEmptyEachOther(t *testing.T) {
	r := &http.Request{Header: http.Header{"X-A": {"mine"}, "X.a": {"mine"}}, Trailer: http.Header{"X_a": nil, "X-C": nil}}
	var fillings []Filling
	for name, value := range map[string]string{"X-A": "1", "X_A": "2"} {
		filling, err := Slot{Header: name}.Fill(vault.NewValue([]byte(value)))
		if err != nil {
			t.Fatal(err)
		}
		fillings = append(fillings, filling)
	}
	Put(r, fillings)
	if diff := cmp.Diff(http.Header{"X-A": {"1"}, "X_a": {"2"}}, r.Header); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(http.Header{"X-C": nil}, r.Trailer); diff != "" {
		t.Error(diff)
	}
}

func TestBasicPairIsEncodedOnlyIfItHasOneReading(t *testing.T) {
	value := func(s string) vault.Value { return vault.NewValue([]byte(s)) }
	if got, err := Pair(value("us er"), value("p:w")); err != nil || string(got.Open()) != encodeBase64("us er:p:w") {
		t.Errorf("%s, %v", got.Open(), err)
	}
	if got, err := Pair(value("user"), vault.Value{}); err != nil || string(got.Open()) != encodeBase64("user:") {
		t.Errorf("%s, %v", got.Open(), err)
	}
	if _, err := Pair(value("a:b"), value("c")); !errors.Is(err, ErrColon) {
		t.Errorf("a colon: %v", err)
	}
	for _, pair := range [][2]string{{"a\n", "b"}, {"a", "b\r\n"}, {"a\x00", "b"}} {
		if _, err := Pair(value(pair[0]), value(pair[1])); !errors.Is(err, ErrUnfit) {
			t.Errorf("%q: %v", pair, err)
		}
	}
}

func TestTextGrowsByItsValuesUpToACeiling(t *testing.T) {
	var asked int
	marks := []Mark{mark("__a__", strings.Repeat("v", 1<<10+5), &asked)} // 1 KiB more than its placeholder
	for over := range 2 {
		text := strings.Repeat("__a__", maxGrowth>>10+over)
		if got, err := Swap(text, marks, Raw); (err == nil) != (over == 0) || over == 1 && (got != "" || !errors.Is(err, ErrGrown)) {
			t.Errorf("%d placeholders: %d bytes, %v", len(text)/5, len(got), err)
		}
	}
	// What is long by itself has not grown.
	long := strings.Repeat("x", 2*maxGrowth)
	if got, err := Swap(long+"__a__", marks, Raw); err != nil || len(got) != len(long)+1<<10+5 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
