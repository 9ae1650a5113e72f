package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// both is what passes at a ceiling, and what one more is refused with.
func both(t *testing.T, what string, at, above error, want string) {
	t.Helper()
	if at != nil {
		t.Errorf("%s, at the ceiling: %v", what, at)
	}
	if above == nil || !strings.Contains(above.Error(), want) {
		t.Errorf("%s, one more: got %v, want %q", what, above, want)
	}
}

func TestGrantMeetsItsCeilings(t *testing.T) {
	check := func(g Grant) error { _, err := g.check(); return err }
	targets := make([]policy.Target, maxAllow+1)
	for i := range targets {
		targets[i] = policy.Target{Host: fmt.Sprintf("h%d.test", i), Port: 443}
	}
	both(t, "allowed hosts", check(Grant{Allow: targets[:maxAllow]}), check(Grant{Allow: targets}), "refusing 1001 allowed hosts")
	both(t, "raw ones among them", check(Grant{Allow: targets[1:maxAllow], Raw: targets[:1]}),
		check(Grant{Allow: targets[1:], Raw: targets[:1]}), "refusing 1001 allowed hosts")
	pg := []policy.HostService{{Name: "pg", Address: netip.MustParseAddrPort("127.0.0.1:5432")}}
	both(t, "host services among them", check(Grant{Allow: targets[1:maxAllow], Host: pg}),
		check(Grant{Allow: targets[1:], Host: pg}), "refusing 1001 allowed hosts")
	both(t, "the name of a run", check(Grant{Run: strings.Repeat("r", maxName)}), check(Grant{Run: strings.Repeat("r", maxName+1)}), "longer than 256")
	both(t, "the longest time", check(Grant{TTL: maxTTL}), check(Grant{TTL: maxTTL + 1}), "is refused")
	both(t, "the shortest time", check(Grant{TTL: minTTL}), check(Grant{TTL: minTTL - 1}), "is refused")
	if g, err := (Grant{}).check(); err != nil || g.TTL != defaultTTL {
		t.Errorf("without a time it lasts %v, %v", g.TTL, err)
	}
}

func TestCredentialMeetsItsCeilings(t *testing.T) {
	value := func(n int) error { return checkValue("A", NewValue(bytes.Repeat([]byte("x"), n))) }
	both(t, "a value", value(maxValue), value(maxValue+1), "more than 64 KiB")
	bind := func(n int) error {
		hosts := make([]string, n)
		for i := range hosts {
			hosts[i] = fmt.Sprintf("h%d.test", i)
		}
		_, err := checkHosts("A", hosts)
		return err
	}
	both(t, "hosts", bind(maxHosts), bind(maxHosts+1), "names 65 hosts")
	path := func(n int) error {
		return Reference{Kind: refFile, Target: "/" + strings.Repeat("a", n-1)}.check()
	}
	both(t, "a path", path(maxTarget), path(maxTarget+1), "not absolute")
	command := func(n int) error { return Reference{Kind: refExec, Target: strings.Repeat("a", n)}.check() }
	both(t, "a command", command(maxTarget), command(maxTarget+1), "not a command line")
	keep := func(d time.Duration) error { return Reference{Kind: refEnv, Target: "X", Keep: d}.check() }
	both(t, "the time that a fetched value is kept", keep(maxKeep), keep(maxKeep+1), "cannot be kept")
	if d := (Reference{}).keep(); d != defaultKeep {
		t.Errorf("a fetched value is kept for %v", d)
	}
}

func TestEarlierValuesMeetTheirCeilings(t *testing.T) {
	v, _ := recording(t, time.Now)
	keep := func(n int) error { return v.Set(t.Context(), Owner(), Setting{Key: "A", Versions: &n}) }
	if err := v.SetCredential(t.Context(), Owner(), "A", NewValue([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	both(t, "earlier values", keep(maxVersions), keep(maxVersions+1), "cannot keep 101")
	if n := (meta{}).kept(); n != keptVersions {
		t.Errorf("%d stay when nothing is said", n)
	}
	now := time.Now()
	imported := func(versions, newest int) error {
		c := backupCredential{Key: "A", Created: now, backupValue: backupValue{Version: newest, Set: now, Value: []byte("x")}}
		for i := range versions {
			c.Versions = append(c.Versions, backupValue{Version: newest - i - 1, Set: now, Value: []byte("x")})
		}
		return c.check()
	}
	both(t, "those of a backup", imported(maxVersions, 200), imported(maxVersions+1, 200), "more than 100 earlier values")
	both(t, "the number of one", imported(1, maxVersionNumber), imported(1, maxVersionNumber+1), "not in order")
}

func TestBackupIsReadUpToItsCeiling(t *testing.T) {
	read := func(n int64) error {
		const doc = `{"format":"av-backup","version":1,"vault":"v","created":"2026-01-02T03:04:05Z","credentials":[],"services":[]}`
		_, err := readBackup(io.MultiReader(strings.NewReader(doc), io.LimitReader(blanks{}, n-int64(len(doc)))))
		return err
	}
	both(t, "a backup", read(maxBackup), read(maxBackup+1), "it has more than 64 MiB")
}

type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestRetentionMeetsItsCeilings(t *testing.T) {
	check := func(age time.Duration, rows int) error { return Retention{Age: age, Rows: rows}.check() }
	both(t, "the longest age", check(maxRetentionAge, 1), check(maxRetentionAge+1, 1), "cannot keep records for")
	both(t, "the shortest age", check(minRetentionAge, 1), check(minRetentionAge-1, 1), "cannot keep records for")
	both(t, "rows", check(time.Hour, maxRetentionRows), check(time.Hour, maxRetentionRows+1), "cannot keep 100000001 records")
}

func TestSessionIsNamedByEnoughOfItsID(t *testing.T) {
	rows := []store.Session{{ID: "0123456789abcdef"}}
	find := func(n int) error { _, err := oneByPrefix(rows, rows[0].ID[:n]); return err }
	both(t, "a session's id", find(minPrefix), find(minPrefix-1), "not a session's id")
}

// Another process could replace the key each time that this one has read the new one.
func TestActThatNeverHasTheKeyIsGivenUp(t *testing.T) {
	v := &Vault{}
	act := func(fails int) (tries int, err error) {
		err = v.retry(t.Context(), func() (*unlocked, error) {
			if tries++; tries <= fails {
				return &unlocked{}, errOldKey
			}
			return nil, nil
		})
		return tries, err
	}
	if n, err := act(maxTries - 1); err != nil || n != maxTries {
		t.Errorf("at the ceiling: %d tries, %v", n, err)
	}
	if n, err := act(maxTries); !errors.Is(err, store.ErrBusy) || n != maxTries {
		t.Errorf("one more: %d tries, %v", n, err)
	}
}

// The deadline is the caller's here, and comes sooner than ours; what it ends is the same.
func TestCommandThatDoesNotEndIsKilled(t *testing.T) {
	run := func(command string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := Reference{Kind: refExec, Target: command}.run(ctx)
		return err
	}
	if err := run("exec sleep 600"); err == nil || !strings.Contains(err.Error(), "did not end within "+execTimeout.String()) {
		t.Errorf("got %v", err)
	}
	if b, err := (Reference{Kind: refExec, Target: "echo x"}).run(t.Context()); err != nil || string(b) != "x\n" {
		t.Errorf("control: %q, %v", b, err)
	}
}
