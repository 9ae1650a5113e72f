package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

var token = Place{Vault: "v1", Kind: "credential", Name: "TOKEN"}

func TestSealedDataOpensInItsPlaceOnly(t *testing.T) {
	k := NewKey()
	box, err := k.Seal(token, []byte("s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := k.Open(token, box); err != nil || string(plain) != "s3cret" {
		t.Fatalf("%q, %v", plain, err)
	}
	for _, elsewhere := range []Place{
		{Vault: "v2", Kind: "credential", Name: "TOKEN"}, {Vault: "v1", Kind: "authority", Name: "TOKEN"}, {Vault: "v1", Kind: "credential", Name: "OTHER"},
		// the same bytes, cut elsewhere
		{Vault: "v1c", Kind: "redential", Name: "TOKEN"}, {Vault: "v1", Kind: "credentialT", Name: "OKEN"}, {Kind: "v1credential", Name: "TOKEN"}, {},
		{Vault: "v1", Kind: "credential", Name: "TOKEN", Bound: "x"}, {Vault: "v1", Kind: "credential", Name: "TOKE", Bound: "N"},
	} {
		if _, err := k.Open(elsewhere, box); !errors.Is(err, ErrOpen) {
			t.Errorf("%v: got %v", elsewhere, err)
		}
	}
	if _, err := NewKey().Open(token, box); !errors.Is(err, ErrOpen) {
		t.Errorf("another key: got %v", err)
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	k := NewKey()
	box, err := k.Seal(token, []byte("s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range box {
		for bit := range 8 {
			bad := bytes.Clone(box)
			bad[i] ^= 1 << bit
			if _, err := k.Open(token, bad); !errors.Is(err, ErrOpen) {
				t.Fatalf("byte %d, bit %d: got %v", i, bit, err)
			}
		}
	}
}

func TestEveryTruncationIsFound(t *testing.T) {
	k := NewKey()
	box, err := k.Seal(token, []byte("s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range box {
		if _, err := k.Open(token, box[:n]); !errors.Is(err, ErrOpen) {
			t.Fatalf("%d bytes: got %v", n, err)
		}
	}
}

func TestNonceIsFresh(t *testing.T) {
	k, seen := NewKey(), map[string]bool{}
	for range 1000 {
		box, err := k.Seal(token, nil)
		if err != nil {
			t.Fatal(err)
		}
		nonce := string(box[1 : 1+nonceSize])
		if seen[nonce] {
			t.Fatal("a nonce was used twice")
		}
		seen[nonce] = true
	}
}

// weak derives fast, for tests that derive often.
func weak() parameters { return parameters{1, 64, 1, make([]byte, saltSize)} }

func TestWrappedKeyOpensWithItsPasswordOnly(t *testing.T) {
	data := NewKey()
	w, err := wrapWith(weak(), data, []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.OpenWithPassword([]byte("right")); err != nil || !bytes.Equal(got.reveal(), data.reveal()) {
		t.Fatalf("got another key, %v", err)
	}
	for _, wrong := range []string{"", "Right", "right ", "right\n", "wrong"} {
		if _, err := w.OpenWithPassword([]byte(wrong)); !errors.Is(err, ErrOpen) {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
	if _, err := wrapWith(weak(), data, nil); err == nil {
		t.Error("an empty password was taken")
	}
}

func TestNewVaultsUseStrongParameters(t *testing.T) {
	p := newParameters()
	if p.passes != 3 || p.memory != 64<<10 || p.lanes != 4 || len(p.salt) < 16 || bytes.Equal(p.salt, newParameters().salt) {
		t.Fatalf("%+v", p)
	}
	if again, err := parseParameters(p.String()); err != nil || again.String() != p.String() {
		t.Fatalf("%v, %v", again, err)
	}
}

// A stored vault's parameters are used before anything of it is verified.
func TestDoctoredParametersAreRefused(t *testing.T) {
	const salt = "AAAAAAAAAAAAAAAAAAAAAA"
	for _, s := range []string{
		"", "key-file", "argon2id", "argon2i$v=19$m=65536,t=3,p=4$" + salt, "argon2id$v=16$m=65536,t=3,p=4$" + salt,
		"argon2id$v=19$m=1073741824,t=3,p=4$" + salt, "argon2id$v=19$m=65536,t=4000000000,p=4$" + salt,
		"argon2id$v=19$m=65536,t=3,p=255$" + salt, "argon2id$v=19$m=65536,t=0,p=4$" + salt, "argon2id$v=19$m=65536,t=3,p=0$" + salt,
		"argon2id$v=19$m=8,t=3,p=4$" + salt, "argon2id$v=19$m=99999999999999,t=3,p=4$" + salt, "argon2id$v=19$m=-1,t=3,p=4$" + salt,
		"argon2id$v=19$m=65536,t=3,p=4$", "argon2id$v=19$m=65536,t=3,p=4$AAAA", "argon2id$v=19$m=65536,t=3,p=4$!" + salt,
		"argon2id$v=19$m=65536,t=3,p=4$" + strings.Repeat("A", 4096), "argon2id$v=19$m=65536,t=3,p=4,x=1$" + salt,
		"argon2id$v=19$m=065536,t=3,p=4$" + salt, "argon2id$v=19$m=65536,t=3,p=4$" + salt + "$x",
	} {
		if p, err := parseParameters(s); err == nil {
			t.Errorf("%q: accepted as %+v", s, p)
		}
	}
}

func TestKeyFileIsReadStrictly(t *testing.T) {
	k := NewKey()
	got, err := ParseKeyFile(k.MarshalKeyFile())
	if err != nil || !bytes.Equal(got.reveal(), k.reveal()) {
		t.Fatalf("another key, %v", err)
	}
	good := string(k.MarshalKeyFile())
	for _, bad := range []string{"", "\n", good[1:], good[:len(good)-4], good + "x", strings.Replace(good, "-1:", "-2:", 1), good + "\n\n", keyFilePrefix, keyFilePrefix + "AAAA"} {
		if _, err := ParseKeyFile([]byte(bad)); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestKeyDoesNotPrintItself(t *testing.T) {
	k, err := keyFrom([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ inner struct{ k Key } }{}
	holder.inner.k = k
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if out := fmt.Sprintf(format, k) + fmt.Sprintf(format, holder); strings.Contains(out, "0123456789") || strings.Contains(out, "30313233") || strings.Contains(out, "48 49 50") {
			t.Errorf("%s: %s", format, out)
		}
	}
}

func FuzzParametersAreCanonical(f *testing.F) {
	f.Add(weak().String())
	f.Add(newParameters().String())
	f.Add("argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parseParameters(s); err == nil && (p.String() != s || p.memory > maxMemory || p.passes > maxPasses) {
			t.Fatalf("%q accepted as %q", s, p)
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	k := NewKey()
	box, err := k.Seal(token, []byte("s3cret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(box)
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, envelope []byte) {
		if plain, err := k.Open(token, envelope); err == nil && !bytes.Equal(envelope, box) {
			t.Fatalf("%x opened as %q", envelope, plain)
		}
	})
}
