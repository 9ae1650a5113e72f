package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

// TestHostileRequestIsHarmlessInTheLog: a program in a box chose all of these words.
func TestHostileRequestIsHarmlessInTheLog(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	o := vault.Options{Home: home}
	if err := vault.Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range hostile {
		v.Record(vault.Entry{Time: time.Now(), Run: "run1", Method: "M" + s, Host: "h" + s, Port: 443, Path: s, Reason: s, Rule: s})
	}
	if err := v.RemoveServices(t.Context(), vault.Owner(), "name"+hostile[0]); err == nil {
		t.Fatal("removed what is not there")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"logs"}, {"logs", "--json"}, {"logs", "--har"}, {"logs", "--audit"}, {"logs", "--audit", "--json"}} {
		var out bytes.Buffer
		e := &env{stdout: &out, stderr: io.Discard, getenv: func(string) string { return "" }, home: home}
		if code := execute(context.Background(), e, args); code != 0 {
			t.Fatalf("%v: exit code %d", args, code)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		for _, line := range lines {
			if !harmless(line) {
				t.Errorf("%v prints %q", args, line)
			}
		}
		// What would be obeyed is there to be read.
		if !strings.Contains(out.String(), `]52;c;`) {
			t.Errorf("%v does not show the request: %s", args, out.String())
		}
		if len(args) == 1 && len(lines) != 1+len(hostile) {
			t.Errorf("%d lines for %d requests", len(lines), len(hostile))
		}
	}
	var complaint bytes.Buffer
	(&env{stderr: &complaint}).complain(errors.New("x" + hostile[0] + "\rav: all is well"))
	if got := strings.TrimSuffix(complaint.String(), "\n"); !harmless(got) {
		t.Errorf("%q", got)
	}
}
