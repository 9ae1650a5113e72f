package vault_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/av-project/av/vault"
)

func TestPasswordOpensTheVaultAndNothingElseDoes(t *testing.T) {
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home"), Now: newClock().Now}
	if err := vault.Init(t.Context(), o, []byte("right")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(o.Home, "vault.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("there is a key file beside a vault with a password")
	}
	asked, typed := 0, "wrong"
	o.Password = func(context.Context) ([]byte, error) { asked++; return []byte(typed), nil }
	v := openVault(t, o)

	// What is not sealed needs no password.
	if list, err := v.Credentials(t.Context(), owner); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	if _, err := v.EndRun(t.Context(), owner, "r"); err != nil || asked != 0 {
		t.Fatalf("asked %d times, %v", asked, err)
	}

	if err := v.SetCredential(t.Context(), owner, "A", vault.NewValue([]byte("1"))); !errors.Is(err, vault.ErrWrongPassword) || hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	if list, err := v.Credentials(t.Context(), owner); err != nil || len(list) != 0 {
		t.Fatalf("a wrong password changed something: %v, %v", list, err)
	}

	typed, asked = "right", 0
	set(t, v, "A", "1")
	if value, err := use(t, v, "A").Credential(t.Context(), "A", "a.test"); err != nil || string(value.Open()) != "1" {
		t.Fatalf("%q, %v", value.Open(), err)
	}
	if asked != 1 {
		t.Fatalf("asked %d times, want once", asked)
	}

	o.Password = nil
	if err := openVault(t, o).DeleteCredential(t.Context(), owner, "A", false); !errors.Is(err, vault.ErrNoPassword) {
		t.Fatalf("without a password: got %v", err)
	}
}

func TestEmptyPasswordIsRefused(t *testing.T) {
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home")}
	if err := vault.Init(t.Context(), o, []byte{}); err == nil {
		t.Fatal("accepted")
	}
	if _, err := os.Stat(o.Home); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("something was left")
	}
}

func TestVaultWithoutItsKeyFileSaysSo(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	_, other := newVault(t, newClock())
	path := filepath.Join(o.Home, "vault.key")
	foreign, err := os.ReadFile(filepath.Join(other.Home, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"gone":    func() error { return os.Remove(path) },
		"foreign": func() error { return os.WriteFile(path, foreign, 0o600) },
		"damaged": func() error { return os.WriteFile(path, foreign[:20], 0o600) },
		"loose":   func() error { return os.Chmod(path, 0o644) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(name, err)
		}
		_, _, err := openVault(t, o).Authority(t.Context(), owner)
		if err == nil || hint(err) == "" {
			t.Errorf("%s: got %v, hint %q", name, err, hint(err))
		}
		if err := os.WriteFile(path, foreign, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A run's own process ends it, or `av prune`, and neither may find the other's work a fault.
func TestRunIsEndedByAnyProcessWithoutThePassword(t *testing.T) {
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home"), Now: newClock().Now}
	if err := vault.Init(t.Context(), o, []byte("right")); err != nil {
		t.Fatal(err)
	}
	running := o
	running.Password = func(context.Context) ([]byte, error) { return []byte("right"), nil }
	here := openVault(t, running)
	s, opened := openSession(t, here, vault.Grant{Run: "r"})
	there := openVault(t, o)
	if n, err := there.EndRun(t.Context(), owner, "r"); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	for _, v := range []*vault.Vault{here, there} {
		if n, err := v.EndRun(t.Context(), owner, "r"); err != nil || n != 0 {
			t.Errorf("ended again: %d, %v", n, err)
		}
		if err := v.EndSession(t.Context(), owner, opened.ID); err != nil {
			t.Errorf("its session ended again: %v", err)
		}
		if _, err := v.SessionByToken(t.Context(), string(opened.Token.Open())); !errors.Is(err, vault.ErrNoSession) {
			t.Errorf("got %v", err)
		}
	}
	if s.Alive() {
		t.Error("the session lives")
	}
}
