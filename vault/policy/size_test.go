package policy_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func TestSizesAreReadAsPeopleWriteThem(t *testing.T) {
	for s, want := range map[string]int64{
		"0":                   0,
		"512":                 512,
		"512B":                512,
		"10kB":                10_000,
		"10KB":                10_000,
		"10MB":                10_000_000,
		"10mb":                10_000_000,
		"1.5GB":               1_500_000_000,
		"1.1GB":               1_100_000_000,
		"0.5kB":               500,
		"1.000kB":             1000,
		"1KiB":                1 << 10,
		"1kib":                1 << 10,
		"64 MiB":              64 << 20,
		"1GiB":                1 << 30,
		"2TiB":                2 << 40,
		"3PB":                 3e15,
		"7EiB":                7 << 60,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := policy.ParseSize(s); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", s, got, err, want)
		}
	}
}

func TestWhatIsNoSizeIsRefusedWithAHint(t *testing.T) {
	for s, want := range map[string]string{
		"":                        "it is empty",
		" ":                       "does not begin with a number",
		" 10MB":                   "does not begin with a number",
		"-1":                      "it is negative",
		"-10MB":                   "it is negative",
		"+10":                     "does not begin with a number",
		"nonsense":                "does not begin with a number",
		"MB":                      "does not begin with a number",
		".5GB":                    "does not begin with a number",
		"5.GB":                    "does not begin with a number",
		"1.2.3MB":                 "does not begin with a number",
		"010":                     "begins with 0",
		"10 ":                     "is none of", // a blank is no unit
		"10  MB":                  "is none of",
		"10M":                     "is none of",
		"10MBit":                  "is none of",
		"10MB ":                   "is none of",
		"10_000":                  "is none of",
		"10,5MB":                  "is none of",
		"0x10":                    "is none of",
		"1e3":                     "is none of",
		"1e999999999":             "is none of",
		"10\u212aB":               "is none of", // the Kelvin sign
		"10\x00":                  "is none of",
		"1.5":                     "not a whole number of bytes",
		"0.0001kB":                "not a whole number of bytes",
		"9223372036854775808":     "larger than any size",
		"8EiB":                    "larger than any size",
		"10EB":                    "larger than any size",
		strings.Repeat("9", 1000): "too long",
	} {
		got, err := policy.ParseSize(s)
		if err == nil {
			t.Errorf("%q: read as %d", s, got)
			continue
		}
		var h interface{ Hint() string }
		if !strings.Contains(err.Error(), want) || !errors.As(err, &h) || h.Hint() != "write it as 10MB" || len(err.Error()) > 300 {
			t.Errorf("%q: got %v, want %q and a hint", s, err, want)
		}
	}
}

func TestSizesAreWrittenInTheLargestUnitThatIsExact(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1: "1", 999: "999", 1000: "1kB", 1001: "1001", 1024: "1KiB", 1536: "1536", 10_000_000: "10MB",
		1_500_000_000: "1500MB", 64 << 20: "64MiB", 64 << 30: "64GiB", 7 << 60: "7EiB", math.MaxInt64: "9223372036854775807",
		-5: "-5", // of which ParseSize says what is wrong
	} {
		if got := policy.FormatSize(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// The law: what FormatSize writes, ParseSize reads back. And what ParseSize accepts is a
// size that it can be told of.
func FuzzSizeRoundTrip(f *testing.F) {
	for _, s := range []string{"", "10MB", "1.5GB", "64 MiB", "-1", "1e9", "9223372036854775807"} {
		f.Add(int64(len(s))<<40, s)
	}
	f.Add(int64(math.MaxInt64), "8EiB")
	f.Fuzz(func(t *testing.T, n int64, s string) {
		if again, err := policy.ParseSize(policy.FormatSize(n)); n >= 0 && (err != nil || again != n) || n < 0 && err == nil {
			t.Fatalf("%d became %q and then %d, %v", n, policy.FormatSize(n), again, err)
		}
		read, err := policy.ParseSize(s)
		if err != nil {
			return
		}
		if again, err := policy.ParseSize(policy.FormatSize(read)); read < 0 || err != nil || again != read {
			t.Fatalf("%q is %d, and then %d, %v", s, read, again, err)
		}
	})
}
