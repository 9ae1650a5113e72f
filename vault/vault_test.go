package vault_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

func TestMain(m *testing.M) {
	if home := os.Getenv(writerHome); home != "" {
		os.Exit(writeAsAnotherProcess(home))
	}
	if home := os.Getenv(victimHome); home != "" {
		os.Exit(beVictim(home))
	}
	if home := os.Getenv(changerHome); home != "" {
		os.Exit(changeAsAnotherProcess(home))
	}
	goleak.VerifyTestMain(m)
}

var owner = vault.Owner()

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newVault makes and opens a vault with a key file.
func newVault(t testing.TB, c *clock) (*vault.Vault, vault.Options) {
	t.Helper()
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home"), Now: c.Now}
	if err := vault.Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	return openVault(t, o), o
}

func openVault(t testing.TB, o vault.Options) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func set(t testing.TB, v *vault.Vault, key, value string) {
	t.Helper()
	if err := v.SetCredential(t.Context(), owner, key, vault.NewValue([]byte(value))); err != nil {
		t.Fatal(err)
	}
}

// use makes a service for each key and opens a session that may use them.
func use(t testing.TB, v *vault.Vault, keys ...string) *vault.Session {
	t.Helper()
	var services []policy.Service
	for _, key := range keys {
		name := strings.ToLower(key)
		services = append(services, policy.Service{Name: name, Host: name + ".test", Auth: policy.Auth{Type: policy.Bearer, Token: key}})
	}
	if err := v.SetServices(t.Context(), owner, services); err != nil {
		t.Fatal(err)
	}
	s, _ := openSession(t, v, vault.Grant{Run: "run1"})
	return s
}

func openSession(t testing.TB, v *vault.Vault, g vault.Grant) (*vault.Session, vault.Opened) {
	t.Helper()
	opened, err := v.OpenSession(t.Context(), owner, g)
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.SessionByToken(t.Context(), string(opened.Token.Open()))
	if err != nil {
		t.Fatal(err)
	}
	return s, opened
}

// hint is what the person who reads err is told to do.
func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// rows opens the vault's file under the vault.
func rows(t testing.TB, o vault.Options) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(o.Home, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func update(t testing.TB, db *store.DB, do func(*store.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

// row is the vault's id and one of its sealed rows.
func row(t testing.TB, db *store.DB, kind, name string) (id string, box []byte) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		v, err := tx.VaultByName("default")
		if err != nil {
			return err
		}
		id = v.ID
		box, err = tx.Secret(id, kind, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id, box
}

func files(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func certificate(t testing.TB, b []byte) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode(b)
	if block == nil || len(rest) > 0 {
		t.Fatalf("not one PEM block: %q", b)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
