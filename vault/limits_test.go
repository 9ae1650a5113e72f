package vault_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
)

func someLimits() vault.Limits {
	return vault.Limits{
		Connections: 3, Requests: 4, Rate: 5, CredentialRate: 6, MaxBody: 7, Idle: time.Second, Total: 8 * time.Second,
		MaxBytesOut: 9, HostMaxBytesOut: map[string]int64{"a.test": 10, "2001:db8::1": 11},
	}
}

func TestLimitsOfAGrantAreThoseOfItsSession(t *testing.T) {
	v, o := newVault(t, newClock())
	s, opened := openSession(t, v, vault.Grant{Limits: someLimits()})
	other, err := openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open()))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*vault.Session{s, other} {
		if diff := cmp.Diff(someLimits(), s.Limits()); diff != "" {
			t.Error(diff)
		}
	}
	list, err := v.Sessions(t.Context(), owner, false)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if diff := cmp.Diff(someLimits(), list[0].Limits); diff != "" {
		t.Errorf("the list says\n%s", diff)
	}
}

func TestWhatAGrantDoesNotLimitHasTheDefault(t *testing.T) {
	v, _ := newVault(t, newClock())
	s, _ := openSession(t, v, vault.Grant{Limits: vault.Limits{Rate: 7, HostMaxBytesOut: map[string]int64{"a.test": 1}}})
	want := vault.DefaultLimits()
	want.Rate, want.HostMaxBytesOut = 7, map[string]int64{"a.test": 1}
	if diff := cmp.Diff(want, s.Limits()); diff != "" {
		t.Error(diff)
	}
	if d := vault.DefaultLimits(); d.Connections < 1 || d.Requests < 1 || d.Rate < 1 || d.CredentialRate < 1 || d.MaxBody < 1 || d.Idle < 1 || d.Total < 1 || d.MaxBytesOut != 0 {
		t.Errorf("a default of nothing: %+v", d)
	}
	if err := vault.DefaultLimits().Check(); err != nil {
		t.Error(err)
	}
}

// The row of a session that was opened before there were limits says nothing of them, and
// so does that of one whose grant has none: the same JSON, under the same seal.
func TestSessionFromBeforeThereWereLimitsHasTheDefaults(t *testing.T) {
	v, o := newVault(t, newClock())
	_, opened := openSession(t, v, vault.Grant{Run: "r"})
	if got := texts(t, raw(t, o), "SELECT policy FROM sessions"); len(got) != 1 || got[0] != `{"unmatched":"deny"}` {
		t.Fatalf("the row says %q", got)
	}
	s, err := openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(vault.DefaultLimits(), s.Limits()); diff != "" {
		t.Error(diff)
	}
}

// Whoever can write the file, but has no key, wants more of the proxy, or more out.
func TestLimitsThatWereEditedInTheFileLetNobodyIn(t *testing.T) {
	for name, attack := range map[string]string{
		"nothing":        "",
		"a wider one":    "UPDATE sessions SET policy = json_set(policy, '$.limits.max_bytes_out', 1000000)",
		"a host's":       `UPDATE sessions SET policy = json_set(policy, '$.limits.host_max_bytes_out."a.test"', 1000000)`,
		"one less":       "UPDATE sessions SET policy = json_remove(policy, '$.limits.idle')",
		"none":           "UPDATE sessions SET policy = json_remove(policy, '$.limits')",
		"another letter": "UPDATE sessions SET policy = policy || ' '",
	} {
		t.Run(name, func(t *testing.T) {
			v, o := newVault(t, newClock())
			opened, err := v.OpenSession(t.Context(), owner, vault.Grant{Limits: someLimits()})
			if err != nil {
				t.Fatal(err)
			}
			before := texts(t, raw(t, o), "SELECT policy FROM sessions")
			if attack != "" {
				execute(t, raw(t, o), attack)
				if after := texts(t, raw(t, o), "SELECT policy FROM sessions"); cmp.Equal(before, after) {
					t.Fatal("nothing was changed")
				}
			}
			_, err = openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open()))
			if (err == nil) != (attack == "") || attack != "" && !errors.Is(err, vault.ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLimitsHaveTheirBounds(t *testing.T) {
	v, _ := newVault(t, newClock())
	hosts := func(n int) map[string]int64 {
		m := map[string]int64{}
		for i := range n {
			m[fmt.Sprintf("h%d.test", i)] = 1
		}
		return m
	}
	for name, l := range map[string]vault.Limits{
		"connections":             {Connections: -1},
		"many connections":        {Connections: 100_001},
		"requests":                {Requests: -1},
		"many requests":           {Requests: 100_001},
		"rate":                    {Rate: -1},
		"high rate":               {Rate: 1_000_001},
		"credential rate":         {CredentialRate: -1},
		"high credential rate":    {CredentialRate: 1_000_001},
		"body":                    {MaxBody: -1},
		"idle":                    {Idle: -time.Second},
		"short idle":              {Idle: time.Second - 1},
		"long idle":               {Idle: 7*24*time.Hour + 1},
		"total":                   {Total: -time.Second},
		"short total":             {Total: time.Second - 1},
		"long total":              {Total: math.MaxInt64},
		"bytes out":               {MaxBytesOut: -1},
		"no bytes to a host":      {HostMaxBytesOut: map[string]int64{"a.test": 0}},
		"negative bytes":          {HostMaxBytesOut: map[string]int64{"a.test": -1}},
		"capitals":                {HostMaxBytesOut: map[string]int64{"A.test": 1}},
		"dot at the end":          {HostMaxBytesOut: map[string]int64{"a.test.": 1}},
		"another script":          {HostMaxBytesOut: map[string]int64{"bücher.example": 1}},
		"brackets":                {HostMaxBytesOut: map[string]int64{"[2001:db8::1]": 1}},
		"long address":            {HostMaxBytesOut: map[string]int64{"2001:db8:0::1": 1}},
		"port":                    {HostMaxBytesOut: map[string]int64{"a.test:443": 1}},
		"wildcard":                {HostMaxBytesOut: map[string]int64{"*.a.test": 1}},
		"no host":                 {HostMaxBytesOut: map[string]int64{"": 1}},
		"many hosts":              {HostMaxBytesOut: hosts(1001)},
		"one bad among good ones": {HostMaxBytesOut: map[string]int64{"a.test": 1, "b.test:1": 1}},
	} {
		if _, err := v.OpenSession(t.Context(), owner, vault.Grant{Limits: l}); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, l := range map[string]vault.Limits{
		"none":  {},
		"least": {Connections: 1, Requests: 1, Rate: 1, CredentialRate: 1, MaxBody: 1, Idle: time.Second, Total: time.Second, MaxBytesOut: 1},
		"most": {Connections: 100_000, Requests: 100_000, Rate: 1_000_000, CredentialRate: 1_000_000, MaxBody: math.MaxInt64,
			Idle: 7 * 24 * time.Hour, Total: 7 * 24 * time.Hour, MaxBytesOut: math.MaxInt64, HostMaxBytesOut: hosts(1000)},
		"spellings": {HostMaxBytesOut: map[string]int64{"2001:db8::1": 1, "192.0.2.1": 1, "xn--bcher-kva.example": 1, "a_b.test": 1}},
	} {
		if _, err := v.OpenSession(t.Context(), owner, vault.Grant{Limits: l}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
