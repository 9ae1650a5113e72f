package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gokeyring "github.com/zalando/go-keyring"

	"github.com/av-project/av/vault"
)

// fakeKeyring is a keyring in memory; err, if set, is all that it says.
type fakeKeyring struct {
	entries map[string]string
	asked   int
	err     error
}

func (f *fakeKeyring) Set(account, password string) error {
	if f.err == nil {
		f.entries[account] = password
	}
	return f.err
}

func (f *fakeKeyring) Get(account string) (string, error) {
	f.asked++
	password, there := f.entries[account]
	if f.err == nil && !there {
		return "", errors.New("no such entry")
	}
	return password, f.err
}

func (f *fakeKeyring) Delete(account string) error {
	if f.err == nil {
		delete(f.entries, account)
	}
	return f.err
}

// remembering is an env of a vault with a password, at no terminal, and its keyring.
func remembering(t *testing.T, password string) (*env, *fakeKeyring, *bytes.Buffer) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	k := &fakeKeyring{entries: map[string]string{}}
	var stderr bytes.Buffer
	e := &env{stdin: null, stdout: &stderr, stderr: &stderr, getenv: os.Getenv, home: filepath.Join(t.TempDir(), "home"), keyring: k}
	if err := vault.Init(t.Context(), e.vaultOptions(), []byte(password)); err != nil {
		t.Fatal(err)
	}
	return e, k, &stderr
}

// later is e as the next process has it, with no password given.
func later(e *env) *env {
	next := *e
	next.password, next.remembered = nil, recollection{}
	return &next
}

func unlock(t *testing.T, e *env) error {
	t.Helper()
	return e.withVault(t.Context(), func(ctx context.Context, v *vault.Vault) error { return v.Unlock(ctx, vault.Owner()) })
}

func remember(t *testing.T, e *env, password string) error {
	t.Helper()
	e = later(e)
	e.password = []byte(password)
	return e.withVault(t.Context(), e.rememberPassword)
}

func TestRememberedPasswordOpensTheVault(t *testing.T) {
	e, k, _ := remembering(t, "horse")
	if err := unlock(t, later(e)); err == nil {
		t.Fatal("opened without a password")
	}
	if k.asked != 0 {
		t.Fatal("the keyring was asked, and nobody wanted that")
	}
	if err := remember(t, e, "horse"); err != nil {
		t.Fatal(err)
	}
	if err := unlock(t, later(e)); err != nil || k.asked != 1 {
		t.Fatalf("%v, asked %d times", err, k.asked)
	}
	info, err := os.Stat(e.keyringMarker())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := later(e).forgetPassword(t.Context()); err != nil || len(k.entries) != 0 {
		t.Fatalf("%v, %v", err, k.entries)
	}
	if err := unlock(t, later(e)); err == nil || k.asked != 1 {
		t.Fatalf("%v, asked %d times", err, k.asked)
	}
	if err := later(e).forgetPassword(t.Context()); err == nil {
		t.Fatal("forgot twice")
	}
}

func TestRememberingAgainKeepsOneEntry(t *testing.T) {
	e, k, _ := remembering(t, "horse")
	for range 2 {
		if err := remember(t, e, "horse"); err != nil || len(k.entries) != 1 {
			t.Fatalf("%v, %v", err, k.entries)
		}
	}
}

func TestWrongPasswordIsNotRemembered(t *testing.T) {
	e, k, _ := remembering(t, "horse")
	if err := remember(t, e, "donkey"); !errors.Is(err, vault.ErrWrongPassword) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(e.keyringMarker()); err == nil || len(k.entries) != 0 {
		t.Fatalf("%v, %v", err, k.entries)
	}
}

func TestVaultWithoutPasswordHasNothingToRemember(t *testing.T) {
	e, _, _ := remembering(t, "horse")
	e.home = filepath.Join(t.TempDir(), "home")
	if err := vault.Init(t.Context(), e.vaultOptions(), nil); err != nil {
		t.Fatal(err)
	}
	if err := remember(t, e, "horse"); err == nil || !strings.Contains(err.Error(), "no master password") {
		t.Fatalf("got %v", err)
	}
}

func TestKeyringThatFailsIsToldOfOnce(t *testing.T) {
	for name, fail := range map[string]func(*fakeKeyring){
		"unavailable": func(k *fakeKeyring) { k.err = errors.New("no bus") },
		"emptied":     func(k *fakeKeyring) { clear(k.entries) },
		"wrong": func(k *fakeKeyring) {
			for account := range k.entries {
				k.entries[account] = "donkey"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, k, stderr := remembering(t, "horse")
			if err := remember(t, e, "horse"); err != nil {
				t.Fatal(err)
			}
			fail(k)
			e = later(e)
			for range 2 {
				if err := unlock(t, e); err == nil || !strings.Contains(err.Error(), "no terminal") {
					t.Fatalf("got %v, which is not the next source's", err)
				}
			}
			if n := strings.Count(stderr.String(), "remembered master password"); n != 1 || k.asked != 1 {
				t.Errorf("told %d times, asked %d times: %s", n, k.asked, stderr)
			}
			// What is given goes first, whatever the keyring holds.
			e = later(e)
			e.password = []byte("horse")
			if err := unlock(t, e); err != nil || k.asked != 1 {
				t.Errorf("%v, asked %d times", err, k.asked)
			}
		})
	}
}

func TestChangedPasswordIsChangedInTheKeyring(t *testing.T) {
	e, k, stderr := remembering(t, "horse")
	if err := e.passwordChanged(t.Context(), []byte("zebra")); err != nil || len(k.entries) != 0 {
		t.Fatalf("nobody wanted it kept: %v, %v", err, k.entries)
	}
	if err := remember(t, e, "horse"); err != nil {
		t.Fatal(err)
	}
	account, err := e.keyringAccount()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.passwordChanged(t.Context(), []byte("zebra")); err != nil || k.entries[account] != "zebra" {
		t.Fatalf("%v, %v", err, k.entries)
	}
	k.err = errors.New("no bus")
	if err := e.passwordChanged(t.Context(), []byte("mule")); err != nil || !strings.Contains(stderr.String(), "no bus") {
		t.Fatalf("%v, %s", err, stderr)
	}
	if account, err := e.keyringAccount(); account != "" || err != nil {
		t.Fatalf("still asks for %q, %v", account, err)
	}
}

func TestRemovedPasswordIsRemovedFromTheKeyring(t *testing.T) {
	e, k, _ := remembering(t, "horse")
	if err := remember(t, e, "horse"); err != nil {
		t.Fatal(err)
	}
	if err := e.passwordChanged(t.Context(), nil); err != nil || len(k.entries) != 0 {
		t.Fatalf("%v, %v", err, k.entries)
	}
	if account, err := e.keyringAccount(); account != "" || err != nil {
		t.Fatalf("still asks for %q, %v", account, err)
	}
}

func TestMarkerWithoutAnAccountIsNotBelieved(t *testing.T) {
	e, k, stderr := remembering(t, "horse")
	for _, content := range []string{"", "x", "../../etc", strings.Repeat("a", 31), strings.Repeat("a", 34)} {
		if err := os.WriteFile(e.keyringMarker(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		stderr.Reset()
		if err := unlock(t, later(e)); err == nil || k.asked != 0 || !strings.Contains(stderr.String(), "no account") {
			t.Errorf("%q: %v, asked %d times, %s", content, err, k.asked, stderr)
		}
	}
}

func TestKeyringThatHangsIsLeftWhenTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hung, let := make(chan struct{}), make(chan struct{})
	defer close(let)
	go func() { <-hung; cancel() }()
	err := askKeyring(ctx, func() error { close(hung); <-let; return nil })
	if !errors.Is(err, errInterrupted) {
		t.Fatalf("got %v", err)
	}
}

func TestOSKeyringIsSpokenTo(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere") // so that it is looked for
	gokeyring.MockInit()
	var k osKeyring
	if _, err := k.Get("a"); err == nil || !strings.Contains(err.Error(), "no longer holds") {
		t.Errorf("got %v", err)
	}
	if err := k.Delete("a"); err != nil {
		t.Error(err)
	}
	if err := k.Set("a", "horse"); err != nil {
		t.Error(err)
	}
	if got, err := k.Get("a"); got != "horse" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := k.Delete("a"); err != nil {
		t.Error(err)
	}
	gokeyring.MockInitWithError(errors.New("locked"))
	for name, err := range map[string]error{"set": k.Set("a", "b"), "delete": k.Delete("a")} {
		var h interface{ Hint() string }
		if err == nil || !errors.As(err, &h) || err.Error() != "the system's keyring: locked" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
