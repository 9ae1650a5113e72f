package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// hostile are names as a program in the box may choose them: OSC 52 fills the clipboard,
// OSC 0 sets the title, CSI in one byte of C1 does what ESC [ does, a carriage return
// writes over the line, and U+202E turns the text around.
var hostile = []string{
	"/a\x1b]52;c;cm0gLXJm\x07", "/\x1b]0;owned\x1b\\", "/\u009b2J", "/ok\rdenied", "/a\u202egpj.exe", "/a\nav: all is well", "/\x7f\x00", "/\xff\xfe\x9b31m", "/\U000e0041", "/a\tb",
}

func TestNothingThatATerminalObeysIsPrinted(t *testing.T) {
	for _, s := range hostile {
		var out bytes.Buffer
		e := &env{stdout: &out, stderr: &out}
		if err := e.table([]string{"PATH"}, [][]string{{s}}); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(strings.TrimPrefix(out.String(), "PATH\n"), "\n"); !harmless(got) || !strings.Contains(got, `\`) {
			t.Errorf("%q is shown as %q", s, got)
		}
		out.Reset()
		if err := e.printJSON(s); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(out.String(), "\n"); !harmless(got) {
			t.Errorf("%q is shown as %q", s, got)
		}
		out.Reset()
		e.tell("denied: %s", s)
		if got := strings.TrimSuffix(out.String(), "\n"); !harmless(got) {
			t.Errorf("%q is told as %q", s, got)
		}
	}
}

func harmless(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

func TestCleanJSONSaysTheSame(t *testing.T) {
	for _, s := range append(hostile, "plain", "ümläut 日本", `back\slash`) {
		var out bytes.Buffer
		e := &env{stdout: &out}
		if err := e.printJSON(s); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); got != want && s != "/\xff\xfe\x9b31m" {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWhatIsPrintableStaysAsItIs(t *testing.T) {
	for _, s := range []string{"", "/a/b?c=d", "ümläut 日本", `back\slash "quoted"`} {
		if got := clean(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}
