package vault_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/av-project/av/vault"
)

func TestValueOfACredentialIsKnownAgain(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "a-secret-value")
	set(t, v, "B", "another-secret-value")
	set(t, v, "SHORT", "1234567")
	set(t, v, "LONGER", "12345678")
	ref, err := vault.ParseReference("env:HOME")
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "FETCHED", Reference: ref}); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"a-secret-value": "A", "another-secret-value": "B", "12345678": "LONGER",
		"1234567": "", "": "", "a-secret-valu": "", "a-secret-value\n": "", "HOME": "",
	} {
		name, held, err := openVault(t, o).Holds(t.Context(), owner, vault.NewValue([]byte(value)))
		if err != nil || name != want || held != (want != "") {
			t.Errorf("%q: %q, %t, %v", value, name, held, err)
		}
	}
	if _, _, err := v.Holds(t.Context(), vault.Caller{Name: "p", Role: vault.RoleProxy}, vault.NewValue([]byte("a-secret-value"))); !errors.Is(err, vault.ErrForbidden) {
		t.Errorf("a caller who may read no value could guess one: %v", err)
	}
	if all := files(t, o.Home); strings.Contains(all, "a-secret-valu") {
		t.Error("the value that was looked for was written down")
	}
}
