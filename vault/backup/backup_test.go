package backup_test

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/av-project/av/vault/backup"
)

const plain = "everything that a vault holds\n"

func encrypt(t *testing.T, to backup.Recipients) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := backup.Encrypt(&b, to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, plain)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b.Bytes(), []byte(plain)) {
		t.Fatal("not encrypted")
	}
	return b.Bytes()
}

func decrypt(b []byte, with backup.Identities) (string, error) {
	r, err := backup.Decrypt(bytes.NewReader(b), with)
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(r)
	return string(got), err
}

func knows(s string) backup.Identities {
	return backup.Identities{Passphrase: func() ([]byte, error) { return []byte(s), nil }}
}

func newKey(t *testing.T) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func holds(key *age.X25519Identity) backup.Identities {
	return backup.Identities{Keys: strings.NewReader("# comment\n" + key.String() + "\n")}
}

func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestBackupOpensWithItsPassphraseAndNoOther(t *testing.T) {
	for _, armored := range []bool{false, true} {
		b := encrypt(t, backup.Quick(backup.Recipients{Passphrase: []byte("right"), Armor: armored}))
		if got, err := decrypt(b, knows("right")); err != nil || got != plain {
			t.Fatalf("%q, %v", got, err)
		}
		for _, wrong := range []string{"wrong", ""} {
			if _, err := decrypt(b, knows(wrong)); !errors.Is(err, backup.ErrPassphrase) || hint(err) == "" {
				t.Errorf("%q: got %v", wrong, err)
			}
		}
		if _, err := decrypt(b, holds(newKey(t))); err == nil || hint(err) == "" {
			t.Errorf("without a passphrase: got %v", err)
		}
		gone := errors.New("the person has gone")
		if _, err := decrypt(b, backup.Identities{Passphrase: func() ([]byte, error) { return nil, gone }}); !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
	}
}

func TestBackupOpensWithEachRecipientsKeyAndNoOther(t *testing.T) {
	one, two := newKey(t), newKey(t)
	b := encrypt(t, backup.Recipients{Keys: []string{one.Recipient().String(), two.Recipient().String()}})
	for _, key := range []*age.X25519Identity{one, two} {
		if got, err := decrypt(b, holds(key)); err != nil || got != plain {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if _, err := decrypt(b, holds(newKey(t))); !errors.Is(err, backup.ErrIdentity) {
		t.Errorf("got %v", err)
	}
	// A passphrase that is not needed is not asked for.
	if _, err := decrypt(b, backup.Identities{Passphrase: func() ([]byte, error) { t.Error("asked"); return nil, nil }}); !errors.Is(err, backup.ErrIdentity) {
		t.Errorf("got %v", err)
	}
}

func TestAgeOpensWhatIsWrittenHere(t *testing.T) {
	key := newKey(t)
	word, err := age.NewScryptIdentity("word")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to   backup.Recipients
		with age.Identity
	}{
		{backup.Recipients{Keys: []string{key.Recipient().String()}}, key},
		{backup.Recipients{Keys: []string{key.Recipient().String()}, Armor: true}, key},
		{backup.Recipients{Passphrase: []byte("word")}, word},
	} {
		b := encrypt(t, c.to)
		if c.to.Passphrase != nil && !regexp.MustCompile(`(?m)^-> scrypt \S+ 18$`).Match(b) {
			t.Errorf("a guess at the passphrase costs another amount than age's own 2^18: %.100q", b)
		}
		var in io.Reader = bytes.NewReader(b)
		if c.to.Armor {
			in = armor.NewReader(in)
		}
		r, err := age.Decrypt(in, c.with)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != plain {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestWhatAgeWroteOpensHere(t *testing.T) {
	key := newKey(t)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, plain)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := decrypt(b.Bytes(), holds(key)); err != nil || got != plain {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestDamagedBackupIsFound(t *testing.T) {
	key := newKey(t)
	good := encrypt(t, backup.Recipients{Keys: []string{key.Recipient().String()}})
	if _, err := decrypt(good, holds(key)); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if got, err := decrypt(bad, holds(key)); err == nil || hint(err) == "" {
			t.Errorf("byte %d: %q, %v", i, got, err)
		}
		if _, err := decrypt(good[:i], holds(key)); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("cut to %d bytes: got %v", i, err)
		}
	}
	for _, other := range []string{"", "{}", "-----BEGIN AGE ENCRYPTED FILE-----\nxx\n"} {
		if _, err := decrypt([]byte(other), holds(key)); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%q: got %v", other, err)
		}
	}
}

func TestBadRecipientsAndIdentitiesAreRefusedAndNotRepeated(t *testing.T) {
	key := newKey(t)
	for name, to := range map[string]backup.Recipients{
		"nobody":               {},
		"both":                 {Passphrase: []byte("x"), Keys: []string{key.Recipient().String()}},
		"no recipient":         {Keys: []string{"somebody"}},
		"the secret half":      {Keys: []string{key.String()}},
		"two in one":           {Keys: []string{key.Recipient().String() + "\n" + key.Recipient().String()}},
		"an empty one":         {Keys: []string{""}},
		"one of which is good": {Keys: []string{key.Recipient().String(), "x"}},
	} {
		_, err := backup.Encrypt(io.Discard, to)
		if err == nil || hint(err) == "" || strings.Contains(err.Error(), key.String()) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	secret := key.String()[:60] + "x"
	_, err := backup.Decrypt(strings.NewReader(""), backup.Identities{Keys: strings.NewReader(secret)})
	if err == nil || hint(err) == "" || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}
