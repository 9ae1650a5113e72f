package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/av-project/av/netiso"
)

// file writes content into a file of its own, and gives its name.
func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestKeyringThatHangsIsLeftInTime(t *testing.T) {
	for _, late := range []time.Duration{keyringTimeout - 1, keyringTimeout + 1} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			err := askKeyring(t.Context(), func() error { time.Sleep(late); return nil })
			inTime := late < keyringTimeout
			if inTime != (err == nil) || !inTime && (!strings.Contains(err.Error(), "no answer within 30s") || time.Since(began) != keyringTimeout) {
				t.Errorf("an answer after %v: %v after %v", late, err, time.Since(began))
			}
			time.Sleep(2 * time.Nanosecond) // what hangs ends at last
		})
	}
}

func TestPasswordAndPassphraseAreReadUpToTheirCeilings(t *testing.T) {
	read := map[string]func(*env, string) ([]byte, error){
		"password":   func(e *env, name string) ([]byte, error) { return e.readPasswordFile(name, "the master password") },
		"passphrase": func(e *env, name string) ([]byte, error) { return e.passphraseFrom(name) },
	}
	for what, c := range map[string]struct {
		most int
		want string
	}{"password": {maxPasswordFile, "more than 65536 bytes"}, "passphrase": {maxPassphrase, "longer than 4096 bytes"}} {
		if b, err := read[what](&env{}, file(t, strings.Repeat("x", c.most))); err != nil || len(b) != c.most {
			t.Errorf("a %s at the ceiling: %d bytes, %v", what, len(b), err)
		}
		if _, err := read[what](&env{}, file(t, strings.Repeat("x", c.most+1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a %s of one byte more: %v", what, err)
		}
	}
}

// What is read at most is more than its reader takes, so that it is who refuses it.
func TestInputIsReadUpToItsCeiling(t *testing.T) {
	e := &env{}
	for most, read := range map[int]func(string) ([]byte, error){
		maxInput:        func(name string) ([]byte, error) { return e.value(t.Context(), name, "KEY") },
		maxServicesFile: readBounded,
	} {
		for _, size := range []int{most, most + 1} {
			if b, err := read(file(t, strings.Repeat("x", size))); err != nil || len(b) != most {
				t.Errorf("of %d bytes %d are read, %v", size, len(b), err)
			}
		}
	}
	for over := range 2 {
		line := "KEY=value\n"
		_, err := e.envFile(file(t, line+strings.Repeat("#", maxEnvFile-len(line)+over)), nil)
		if (err == nil) != (over == 0) {
			t.Errorf("an env file of %d bytes more than it may have: %v", over, err)
		}
	}
	for over := range 2 {
		b, err := e.passphraseFrom(file(t, strings.Repeat("x", maxPassphrase+over)+"\r\n"))
		if (err == nil) != (over == 0) || over == 0 && len(b) != maxPassphrase {
			t.Errorf("a passphrase of %d bytes: %v", maxPassphrase+over, err)
		}
	}
	if _, err := e.readServices(file(t, strings.Repeat("#", maxServicesFile+1))); err == nil || !strings.Contains(err.Error(), "larger than 4 MiB") {
		t.Errorf("services: %v", err)
	}
}

func TestLogsShowAsManyRecordsAsTheirCeiling(t *testing.T) {
	for lines, fits := range map[int]bool{1: true, maxLogged: true, 0: false, maxLogged + 1: false} {
		filter, err := (&logFlags{lines: lines}).check(logsCommand(&env{}), time.Now())
		if fits != (err == nil) || fits && filter.Limit != lines {
			t.Errorf("-n %d: %+v, %v", lines, filter, err)
		}
	}
}

func TestColumnsGrowUpToTheirCeiling(t *testing.T) {
	for size, want := range map[int]int{maxColumn - 1: maxColumn - 1, maxColumn: maxColumn, maxColumn + 1: maxColumn, 10_000: maxColumn} {
		c := columns{out: io.Discard, widths: make([]int, 2)}
		if err := c.print([][]string{{strings.Repeat("x", size), "y"}}); err != nil || c.widths[0] != want {
			t.Errorf("%d characters make a column of %d, %v", size, c.widths[0], err)
		}
	}
}

func TestSummaryNamesAsManyTargetsAsItsCeiling(t *testing.T) {
	words := strings.Fields("a b c d e f")
	if got := list(words[:maxListed], " "); got != "a b c d e" {
		t.Error(got)
	}
	if got := list(words[:maxListed+1], " "); got != "a b c d e and 1 more" {
		t.Error(got)
	}
}

// An engine that never answers keeps the watchdog for so long, and then it goes.
func TestWatchdogGivesUpAnEngineThatDoesNotAnswer(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "nobody"))
	home := filepath.Join(t.TempDir(), "home")
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		e := &env{home: home, getenv: func(string) string { return "" }, stdout: &out, stderr: &out}
		began := time.Now()
		err := e.takeApart(t.Context(), netiso.Run{ID: "0123456789ab", Owner: "owner"})
		if err == nil || time.Since(began) != sweepLimit {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
