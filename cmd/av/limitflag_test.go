package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
)

func TestEveryLimitCanBeNamed(t *testing.T) {
	got, err := limits([]string{
		"connections=1", "requests=2", "rate=3", "credential-rate=4", "max_body=5GiB", "idle=6s", "total=1h7m",
		"max_bytes_out=8 MB", "max-bytes-out@A.test.=9", "max_bytes_out@[2001:DB8::1]=1.5kB",
	})
	want := vault.Limits{
		Connections: 1, Requests: 2, Rate: 3, CredentialRate: 4, MaxBody: 5 << 30, Idle: 6 * time.Second, Total: 67 * time.Minute,
		MaxBytesOut: 8_000_000, HostMaxBytesOut: map[string]int64{"a.test": 9, "2001:db8::1": 1500},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	// A limit that is new in the vault has to be nameable, too.
	for i := range reflect.TypeFor[vault.Limits]().NumField() {
		if reflect.ValueOf(got).Field(i).IsZero() {
			t.Errorf("no name of --limit sets %s", reflect.TypeFor[vault.Limits]().Field(i).Name)
		}
	}
	if none, err := limits(nil); err != nil || !reflect.ValueOf(none).IsZero() {
		t.Errorf("without the flag: %+v, %v", none, err)
	}
}

func TestLimitThatCannotBeReadIsRefusedWithAHint(t *testing.T) {
	for _, c := range []struct{ flags, want, hint string }{
		{"conections=5", `there is no limit "conections"`, "the limits are connections, requests, rate, credential_rate, max_body, idle, total, max_bytes_out and max_bytes_out@HOST"},
		{"Rate=5", `there is no limit "Rate"`, "the limits are "},
		{"rate@a.test=5", `there is no limit "rate@a.test"`, "the limits are "},
		{"=5", `there is no limit ""`, "the limits are "},
		{"rate", `"rate" is not NAME=VALUE`, "such as "},
		{"", `"" is not NAME=VALUE`, "such as "},
		{"rate=", `"" is no whole number above 0`, "write it as 100"},
		{"rate=0", `"0" is no whole number`, "write it as 100"},
		{"rate=-1", `"-1" is no whole number`, "write it as 100"},
		{"rate=+1", `"+1" is no whole number`, "write it as 100"},
		{"rate=07", `"07" is no whole number`, "write it as 100"},
		{"rate=1.5", `"1.5" is no whole number`, "write it as 100"},
		{"rate=1e3", `"1e3" is no whole number`, "write it as 100"},
		{"rate=99999999999999999999", `is no whole number`, "write it as 100"},
		{"rate=1000001", "a limit of rate=1000001 is refused", "from 1 to 1000000"},
		{"connections=100001", "a limit of connections=100001 is refused", "from 1 to 100000"},
		{"idle=soon", `"soon" is no length of time`, "90m"},
		{"idle=0", `"0" is no length of time`, "90m"},
		{"idle=-1h", `"-1h" is no length of time`, "90m"},
		{"idle=10", `"10" is no length of time`, "90m"},
		{"idle=999ms", "a limit of idle=999ms is refused", "from 1 second to 7 days"},
		{"total=8d", "is refused", "from 1 second to 7 days"},
		{"max_body=nonsense", `--limit max_body: refusing the size "nonsense"`, "write it as 10MB"},
		{"max_bytes_out=0", "--limit max_bytes_out: it is 0", "leave it out"},
		{"max_bytes_out@a.test=0", "--limit max_bytes_out@a.test: it is 0", "leave it out"},
		{"max_bytes_out@a.test=-1", "it is negative", "write it as 10MB"},
		{"max_bytes_out@=1", "there is no host name", "name one host"},
		{"max_bytes_out@a.test:443=1", "it has a port", "name one host without a port"},
		{"max_bytes_out@*.a.test=1", "it is a wildcard", "name each host"},
		{"max_bytes_out@https://a.test=1", "it is a URL", "leave out the scheme"},
		{"rate=1 rate=1", "--limit rate is given twice", "give it once"},
		{"max_body=1 max-body=1", "--limit max_body is given twice", "give it once"},
		{"max_bytes_out@a.test=1 max_bytes_out@A.TEST.=1", "--limit max_bytes_out@a.test is given twice", "give it once"},
	} {
		got, err := limits(strings.Split(c.flags, " "))
		var h interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &h) || !strings.Contains(h.Hint(), c.hint) {
			t.Errorf("%q: got %+v, %v, want %q and the hint %q", c.flags, got, err, c.want, c.hint)
		}
	}
}

func TestHelpSaysWhatHoldsWithoutALimit(t *testing.T) {
	text := limitHelp()
	for _, want := range []string{"  connections ", "(1024)", "  max_body ", "(64GiB)", "  idle ", "(1h)", "  total ", "(1d)", "  max_bytes_out ", "  max_bytes_out@HOST ", "(any)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
