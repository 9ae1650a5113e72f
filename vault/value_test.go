package vault_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/av-project/av/vault"
)

type exported struct{ Secret vault.Value }

type unexported struct {
	secret vault.Value
	inner  struct{ list []vault.Value }
}

func TestSecretPrintsAsTheWordSecret(t *testing.T) {
	const plain = "hunter2-hunter2"
	v := vault.NewValue([]byte(plain))
	hidden := unexported{secret: v}
	hidden.inner.list = []vault.Value{v}
	things := map[string]any{
		"value": v, "pointer": &v, "exported": exported{v}, "unexported": hidden, "pointer to unexported": &hidden,
		"slice": []vault.Value{v}, "map": map[string]vault.Value{"k": v}, "opened": vault.Opened{Token: v, KeyPEM: v}, "setting": []vault.Setting{{Key: "K", Value: v}},
	}
	check := func(t *testing.T, how, out string) {
		t.Helper()
		for _, leak := range []string{plain, fmt.Sprintf("%x", plain), fmt.Sprintf("%X", plain), fmt.Sprint([]byte(plain)), "aHVudGVy"} {
			if strings.Contains(out, leak) {
				t.Errorf("%s: %s", how, out)
			}
		}
	}
	for name, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%c", "%U", "%T", "%p", "%t", "%10.3s"} {
			out := fmt.Sprintf(verb, thing)
			check(t, name+" with "+verb, out)
			if strings.Contains("%v %+v %#v %s %q", verb) && name != "pointer to unexported" && !strings.Contains(out, "[secret]") {
				t.Errorf("%s with %s does not show that there is a secret: %s", name, verb, out)
			}
		}
		for _, encode := range []func(*bytes.Buffer) error{
			func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(thing) },
			func(b *bytes.Buffer) error {
				slog.New(slog.NewTextHandler(b, nil)).Info("x", "thing", thing)
				return nil
			},
			func(b *bytes.Buffer) error {
				slog.New(slog.NewJSONHandler(b, nil)).Info("x", "thing", thing)
				return nil
			},
			func(b *bytes.Buffer) error { _ = xml.NewEncoder(b).Encode(thing); return nil }, // it knows no maps
		} {
			var b bytes.Buffer
			if err := encode(&b); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			check(t, name, b.String())
		}
	}
	if out, err := json.Marshal(exported{v}); err != nil || string(out) != `{"Secret":"[secret]"}` {
		t.Errorf("%s, %v", out, err)
	}
	check(t, "error", fmt.Errorf("with %v and %w", v, fmt.Errorf("%s", hidden)).Error())
}

func TestValueIsACopyBothWays(t *testing.T) {
	b := []byte("secret")
	v := vault.NewValue(b)
	clear(b)
	clear(v.Open())
	if string(v.Open()) != "secret" {
		t.Fatalf("%q", v.Open())
	}
}

func TestZeroValueIsNoValue(t *testing.T) {
	var v vault.Value
	if !v.IsZero() || v.Open() != nil || vault.NewValue(nil).IsZero() {
		t.Fatal("wrong zero")
	}
}
