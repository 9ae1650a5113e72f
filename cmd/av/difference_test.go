package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault/policy"
)

func passthrough(name, host string) policy.Service {
	return policy.Service{Name: name, Host: host, Auth: policy.Auth{Type: policy.Passthrough}}
}

func TestDifferenceSaysWhatBecameOfEachService(t *testing.T) {
	a, b, c := passthrough("a", "a.test"), passthrough("b", "b.test"), passthrough("c", "c.test")
	moved := passthrough("a", "other.test")
	for _, tt := range []struct {
		name          string
		before, after []policy.Service
		want          string
	}{
		{"nothing", nil, nil, ""},
		{"same", []policy.Service{a, b}, []policy.Service{a, b}, ""},
		{"added", []policy.Service{a}, []policy.Service{a, b}, "added b\n+   - name: b\n+     host: b.test\n+     auth: {type: passthrough}"},
		{"removed", []policy.Service{a, b}, []policy.Service{b}, "removed a\n-   - name: a\n-     host: a.test\n-     auth: {type: passthrough}"},
		{"changed", []policy.Service{a, b}, []policy.Service{moved, b}, "changed a\n-     host: a.test\n+     host: other.test"},
		{"order alone", []policy.Service{a, b, c}, []policy.Service{b, a, c}, "reordered: b, a, c"},
	} {
		got, err := difference(tt.before, tt.after)
		if diff := cmp.Diff(tt.want, strings.Join(got, "\n")); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", tt.name, err, diff)
		}
	}
}

// FuzzChangedLines is the law of a diff: without what came, and with what went, the new
// text is the old one.
func FuzzChangedLines(f *testing.F) {
	f.Add("a b c", "a c d")
	f.Add("", "a")
	f.Add("a a b", "b a a")
	f.Fuzz(func(t *testing.T, before, after string) {
		a, b := strings.Fields(before), strings.Fields(after)
		if len(a) > 50 || len(b) > 50 {
			t.Skip()
		}
		var went, came []string
		for _, line := range changedLines(a, b) {
			if gone, ok := strings.CutPrefix(line, "- "); ok {
				went = append(went, gone)
			} else {
				came = append(came, strings.TrimPrefix(line, "+ "))
			}
		}
		if !sameBag(append(went, b...), append(came, a...)) {
			t.Fatalf("%q to %q: -%q +%q", a, b, went, came)
		}
	})
}

func sameBag(a, b []string) bool {
	n := map[string]int{}
	for _, s := range a {
		n[s]++
	}
	for _, s := range b {
		n[s]--
	}
	for _, left := range n {
		if left != 0 {
			return false
		}
	}
	return true
}
