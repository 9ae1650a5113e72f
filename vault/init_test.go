package vault_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

func TestInitMakesAVaultWithItsOwnCA(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	if got := files(t, o.Home); got != "vault.db vault.db-shm vault.db-wal vault.key" && got != "vault.db vault.key" {
		t.Errorf("files: %s", got)
	}
	pem, key, err := v.Authority(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, pem)
	private, err := x509.ParsePKCS8PrivateKey(key.Open())
	if err != nil {
		t.Fatal(err)
	}
	if !private.(*ecdsa.PrivateKey).PublicKey.Equal(cert.PublicKey) || !cert.IsCA || !cert.MaxPathLenZero || cert.CheckSignatureFrom(cert) != nil {
		t.Errorf("not a CA of its own: %+v", cert)
	}
	if cert.NotAfter.Before(c.Now().AddDate(9, 11, 0)) || !cert.NotBefore.Before(c.Now()) {
		t.Errorf("valid from %v to %v", cert.NotBefore, cert.NotAfter)
	}
	public, err := v.Certificate(t.Context(), vault.Caller{Name: "p", Role: vault.RoleProxy})
	if err != nil || string(public) != string(pem) {
		t.Errorf("%s, %v", public, err)
	}
	other, _ := newVault(t, c)
	second, err := other.Certificate(t.Context(), owner)
	if err != nil || certificate(t, second).Subject.CommonName == cert.Subject.CommonName {
		t.Errorf("two vaults have CAs of one name: %v, %v", cert.Subject, err)
	}
}

func TestInitThatFailsHalfWayLeavesNothing(t *testing.T) {
	for _, at := range []int{1, 2} { // the clock is asked for the CA, then for the rows
		for _, made := range []bool{false, true} {
			o := vault.Options{Home: filepath.Join(t.TempDir(), "home")}
			if made {
				if err := os.Mkdir(o.Home, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			asked := 0
			o.Now = func() time.Time {
				if asked++; asked == at {
					cancel()
				}
				return newClock().Now()
			}
			if err := vault.Init(ctx, o, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("clock call %d: got %v", at, err)
			}
			if got := files(t, o.Home); got != "" {
				t.Errorf("left %s", got)
			}
			if _, err := os.Stat(o.Home); (err == nil) != made {
				t.Errorf("folder was there: %v, now: %v", made, err)
			}
			cancel()
		}
	}
}

func TestInitRefusesAVaultThatIsThere(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	err := vault.Init(t.Context(), o, nil)
	if !errors.Is(err, vault.ErrExists) || hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	if value, err := use(t, openVault(t, o), "A").Credential(t.Context(), "A", "a.test"); err != nil || string(value.Open()) != "1" {
		t.Fatalf("%q, %v", value.Open(), err)
	}
}

// The key may be the only one to a backup.
func TestInitUsesAKeyFileThatIsThere(t *testing.T) {
	_, o := newVault(t, newClock())
	key, err := os.ReadFile(filepath.Join(o.Home, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	second := vault.Options{Home: t.TempDir()}
	path := filepath.Join(second.Home, "vault.key")
	if err := os.WriteFile(path, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := vault.Init(t.Context(), second, nil); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(key) {
		t.Fatal("the key file was changed")
	}
	set(t, openVault(t, second), "A", "1")
}

func TestInitRefusesAKeyFileThatIsNone(t *testing.T) {
	o := vault.Options{Home: t.TempDir()}
	path := filepath.Join(o.Home, "vault.key")
	if err := os.WriteFile(path, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := vault.Init(t.Context(), o, nil); err == nil {
		t.Fatal("accepted")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "not a key" || files(t, o.Home) != "vault.key" {
		t.Fatalf("%q, %v, %s", b, err, files(t, o.Home))
	}
}

func TestHomeIsAnAbsolutePath(t *testing.T) {
	o := vault.Options{Home: "relative"}
	if err := vault.Init(t.Context(), o, nil); err == nil {
		t.Error("Init took it")
	}
	if _, err := vault.Open(t.Context(), o); err == nil {
		t.Error("Open took it")
	}
}
