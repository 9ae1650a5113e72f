package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type vectors struct {
	Seal []struct{ Key, Nonce, Vault, Kind, Name, Bound, Plain, Envelope string }
	Wrap []struct{ Password, KeyFile, Method, Box, Data string }
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEnvelopesAreWhatAnotherImplementationMakes(t *testing.T) {
	for _, v := range readVectors(t).Seal {
		k, err := keyFrom(unhex(t, v.Key))
		if err != nil {
			t.Fatal(err)
		}
		place, plain, envelope := Place{Vault: v.Vault, Kind: v.Kind, Name: v.Name, Bound: v.Bound}, unhex(t, v.Plain), unhex(t, v.Envelope)
		got, err := k.sealWith([nonceSize]byte(unhex(t, v.Nonce)), place, plain)
		if err != nil || !bytes.Equal(got, envelope) {
			t.Errorf("%v: sealed as %x, %v, want %x", place, got, err, envelope)
		}
		if got, err := k.Open(place, envelope); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v: opened as %x, %v", place, got, err)
		}
	}
}

func TestWrappedKeysOfAnotherImplementationOpen(t *testing.T) {
	for _, v := range readVectors(t).Wrap {
		w := Wrapped{Method: v.Method, Box: unhex(t, v.Box)}
		if w.NeedsPassword() != (v.Password != "") {
			t.Errorf("%s: NeedsPassword is %v", v.Method, w.NeedsPassword())
		}
		open := func() (Key, error) { return w.OpenWithPassword([]byte(v.Password)) }
		if v.KeyFile != "" {
			open = func() (Key, error) {
				kek, err := ParseKeyFile([]byte(v.KeyFile))
				if err != nil {
					return Key{}, err
				}
				return w.OpenWithKey(kek)
			}
		}
		data, err := open()
		if err != nil {
			t.Fatalf("%s: %v", v.Method, err)
		}
		if !bytes.Equal(data.reveal(), unhex(t, v.Data)) {
			t.Errorf("%s: another data key", v.Method)
		}
	}
}
