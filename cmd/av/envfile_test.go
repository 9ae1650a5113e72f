package main

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzEnvFileInSingleQuotes is the law that single quotes keep everything as it is.
func FuzzEnvFileInSingleQuotes(f *testing.F) {
	for _, value := range []string{"a", "$HOME", `\n`, "two\nlines", "`ls`", " # ", "\"", "\xff", "="} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) == 0 || bytes.ContainsAny(value, "'\x00\r") {
			t.Skip()
		}
		src := "BEFORE=1\nexport KEY='" + string(value) + "' # comment\nAFTER=2\n"
		got, err := parseEnv("test", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 || !bytes.Equal(got[1].value, value) || got[1].key != "KEY" || string(got[2].value) != "2" {
			t.Fatalf("%q became %+v", value, got)
		}
		if want := 3 + bytes.Count(value, []byte{'\n'}); got[2].line != want {
			t.Fatalf("AFTER is on line %d, not %d", want, got[2].line)
		}
	})
}

// FuzzEnvFileErrorsRepeatNoValue holds whatever is put into a file: an error names the
// place and a key, and nothing else of it.
func FuzzEnvFileErrorsRepeatNoValue(f *testing.F) {
	for _, start := range []string{"", "A=", "A='", `A="`, "A=x ", "export ", "A= ", "A=`", "A=$", `A=\`, "A\n", "a="} {
		f.Add(start, "")
	}
	const secret = "s3cretvalue"
	f.Fuzz(func(t *testing.T, before, after string) {
		_, err := parseEnv("test", []byte(before+secret+after))
		if err == nil {
			return
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.(*envError).Hint(), secret) {
			t.Fatalf("%q in %v", secret, err)
		}
	})
}
