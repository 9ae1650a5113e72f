package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const trustPage = "../../docs/trust.md"

// The table is what the tests prove; it is here so that it shows on any machine when the two differ.
func TestTrustPageHasTheProgramsOfTheTests(t *testing.T) {
	var want strings.Builder
	want.WriteString("\n| program | by files alone | by variables alone | how |\n|---|---|---|---|\n")
	yes := map[bool]string{true: "yes", false: "no"}
	for _, p := range runtimes() {
		fmt.Fprintf(&want, "| %s | %s | %s | %s |\n", p.name, yes[p.files], yes[p.variables], p.how)
	}
	want.WriteString("\n")
	page, err := os.ReadFile(trustPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), tableBegin)
	got, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", trustPage)
	}
	if *update {
		if err := os.WriteFile(trustPage, []byte(before+tableBegin+want.String()+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, want.String()); diff != "" {
		t.Errorf("%s is not what the tests prove (-update writes it anew):\n%s", trustPage, diff)
	}
}
