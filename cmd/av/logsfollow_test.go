package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

// followed is `av logs -f` as a process of its own, and a vault that others write to.
func followed(t *testing.T, args ...string) (v *vault.Vault, lines <-chan string, interrupt func() error) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	o := vault.Options{Home: home}
	if err := vault.Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	v.Record(vault.Entry{Run: "r", Host: "first.test", Port: 443, Allowed: true})
	if _, err := v.Summary(t.Context(), vault.Owner(), "r"); err != nil { // which writes it
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "av", append([]string{"logs", "-f"}, args...)...)
	c.Env = append(os.Environ(), "AV_HOME="+home)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	all := make(chan string, 100)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(all)
		for s := bufio.NewScanner(out); s.Scan(); {
			all <- s.Text()
		}
	}()
	return v, all, func() error {
		if err := c.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		<-read
		return c.Wait()
	}
}

func line(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case l, ok := <-lines:
		if !ok {
			t.Fatal("it has ended")
		}
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
	}
	return ""
}

func TestFollowingShowsWhatAnotherProcessRecordsAndEndsWell(t *testing.T) {
	v, lines, interrupt := followed(t)
	if got := strings.Join(strings.Fields(line(t, lines)), " "); got != strings.Join(requestHead, " ") {
		t.Errorf("%q", got)
	}
	if got := line(t, lines); !strings.Contains(got, "first.test") {
		t.Errorf("%q", got)
	}
	for _, s := range hostile {
		v.Record(vault.Entry{Run: "r", Method: "GET", Host: "h" + s, Port: 443, Path: s, Reason: s, Status: 403})
	}
	for range hostile {
		if got := line(t, lines); !harmless(got) || !strings.Contains(got, "denied") {
			t.Errorf("%q", got)
		}
	}
	if err := interrupt(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

func TestFollowingAsJSONIsAnObjectPerLine(t *testing.T) {
	v, lines, interrupt := followed(t, "--json", "--denied")
	v.Record(vault.Entry{Run: "r", Host: "second.test", Allowed: true})
	for _, s := range hostile {
		v.Record(vault.Entry{Run: "r", Host: "h" + s})
	}
	for range hostile {
		got := line(t, lines)
		var e vault.Entry
		if err := json.Unmarshal([]byte(got), &e); err != nil || e.Allowed || !strings.HasPrefix(e.Host, "h") || !harmless(got) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := interrupt(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}
