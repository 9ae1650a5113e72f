package policy_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault/policy"
)

func TestServiceSaysHowManyBytesMayGoOut(t *testing.T) {
	for text, want := range map[string]int64{
		"10MB":        10_000_000,
		"'10MB'":      10_000_000,
		`"1.5 GiB"`:   3 << 29,
		"64 MiB":      64 << 20,
		"1000":        1000,
		"1":           1,
		"5EB # a lot": 5e18,
	} {
		for _, tls := range []string{"enabled: true", "tls: passthrough"} {
			src := one("name: a", "host: a.test", "auth: {type: passthrough}", tls, "max_bytes_out: "+text)
			got, err := policy.Parse("f", []byte(src), noFiles)
			if err != nil || got[0].MaxBytesOut != want {
				t.Errorf("%s, %s: got %+v, %v, want %d", text, tls, got, err, want)
				continue
			}
			readBack(t, src, got)
			set, err := policy.Compile(got, nil, policy.Deny)
			if err != nil {
				t.Errorf("%s, %s: %v", text, tls, err)
			} else if v := set.Reach(policy.Target{Host: "a.test", Port: 443}); v.Service == nil || v.Service.MaxBytesOut != want {
				t.Errorf("%s, %s: the verdict says %+v", text, tls, v.Service)
			}
		}
	}
	got, err := policy.Parse("f", []byte(one("name: a", "host: a.test", "auth: {type: passthrough}")), noFiles)
	if err != nil || got[0].MaxBytesOut != 0 {
		t.Errorf("left out: %+v, %v", got, err)
	}
}

func TestBudgetThatIsNoneIsRefusedWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"0":         "max_bytes_out is 0, and nothing could be sent",
		"0MB":       "max_bytes_out is 0, and nothing could be sent",
		"-1":        "it is negative",
		"-10MB":     "it is negative",
		"nonsense":  `refusing the size "nonsense": it does not begin with a number`,
		"''":        "it is empty",
		"10M":       "is none of",
		"1.5":       "it is not a whole number of bytes",
		"010":       "its number begins with 0",
		"0x10":      "is none of",
		"1_000":     "is none of",
		"1e3":       "is none of",
		".inf":      "max_bytes_out is a number, want a size",
		"true":      "max_bytes_out is a boolean, want a size",
		"":          "max_bytes_out is empty, want a size",
		"[10MB]":    "max_bytes_out is a list, want a size",
		"{a: 10MB}": "max_bytes_out is a mapping, want a size",
		"!!str 5":   "max_bytes_out is a tagged value, want a size",
		"&a 5":      "max_bytes_out is an anchor or alias, want a size",
	} {
		src := one("name: a", "host: a.test", "auth: {type: passthrough}", "max_bytes_out: "+text)
		got, err := policy.Parse("f", []byte(src), noFiles)
		var e *policy.Error
		if !errors.As(err, &e) || e.Line != 5 || e.Column < 18 || !strings.Contains(e.Message, want) || !strings.Contains(e.Hint(), "leave it out for no bound") {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	negative := []policy.Service{{Name: "a", Host: "a.test", Auth: policy.Auth{Type: policy.Passthrough}, MaxBytesOut: -1}}
	if policy.Validate(negative) == nil {
		t.Error("validated a negative one")
	}
	if _, err := policy.Compile(negative, nil, policy.Deny); err == nil {
		t.Error("compiled a negative one")
	}
}

// A field that Marshal forgets is lost when somebody edits the list.
func TestEveryFieldOfAServiceIsWrittenAndReadBack(t *testing.T) {
	services := []policy.Service{
		{Name: "a", Host: "a.test", Port: 8443, Path: "/x/*", Methods: []string{"GET"}, Disabled: true,
			Auth:          policy.Auth{Type: policy.Bearer, Token: "K"},
			Substitutions: []policy.Substitution{{Key: "K", Placeholder: "__k__", In: []policy.Surface{policy.InPath}}},
			Upstream:      policy.Upstream{Address: netip.MustParseAddrPort("10.1.2.3:8443")}, MaxBytesOut: 1 << 20},
		{Name: "b", Host: "b.test", Auth: policy.Auth{Type: policy.Passthrough}, TLS: policy.TLSPassthrough},
	}
	for i := range reflect.TypeFor[policy.Service]().NumField() {
		if reflect.ValueOf(services[0]).Field(i).IsZero() && reflect.ValueOf(services[1]).Field(i).IsZero() {
			t.Errorf("no service here has %s", reflect.TypeFor[policy.Service]().Field(i).Name)
		}
	}
	out, err := policy.Marshal(services)
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.Parse("f", out, noFiles)
	if diff := cmp.Diff(services, again, comparable); err != nil || diff != "" {
		t.Fatalf("%v\n%s\n%s", err, diff, out)
	}
}
