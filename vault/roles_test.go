package vault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// open says that a method asks nobody who they are.
const open vault.Role = 0

// method is what one method of a Vault asks of its caller.
type method struct {
	need vault.Role
	call func(context.Context, *vault.Vault, vault.Caller) error
}

// methods are all methods of a Vault. Each call fails for its own reasons or changes
// nothing that the next one misses: all that counts is whether the caller was let in.
var methods = map[string]method{
	"Close":                {need: open},
	"Record":               {need: open},
	"NeedsPassword":        {need: open},
	"Name":                 {need: open},
	"ID":                   {need: open},
	"SessionByToken":       {need: open}, // the token says who asks
	"SessionByCertificate": {need: open},

	"Unlock": {vault.RoleProxy, func(ctx context.Context, v *vault.Vault, c vault.Caller) error { return v.Unlock(ctx, c) }},
	"Certificate": {vault.RoleProxy, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Certificate(ctx, c)
		return err
	}},

	"Credentials": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Credentials(ctx, c)
		return err
	}},
	"Holds": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, _, err := v.Holds(ctx, c, vault.NewValue([]byte("a long value")))
		return err
	}},
	"History": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.History(ctx, c, "A")
		return err
	}},
	"Follow": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.Follow(ctx, c, vault.Filter{}, func([]vault.Entry) error { return io.EOF })
	}},
	"Records": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Records(ctx, c, vault.Filter{})
		return err
	}},
	"Retention": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Retention(ctx, c)
		return err
	}},
	"Requests": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Requests(ctx, c, "r", 1)
		return err
	}},
	"Reveal": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Reveal(ctx, c, "A")
		return err
	}},
	"Rollback": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.Rollback(ctx, c, "A", 1)
	}},
	"Services": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Services(ctx, c)
		return err
	}},
	"Sessions": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Sessions(ctx, c, true)
		return err
	}},
	"Set": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.Set(ctx, c, vault.Setting{Key: "A", Value: vault.NewValue([]byte("1"))})
	}},
	"SetCredential": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.SetCredential(ctx, c, "A", vault.NewValue([]byte("1")))
	}},
	"SetCredentials": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.SetCredentials(ctx, c, map[string]vault.Value{"A": vault.NewValue([]byte("1"))})
	}},
	"Summary": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Summary(ctx, c, "r")
		return err
	}},
	"Vaults": {vault.RoleMember, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Vaults(ctx, c)
		return err
	}},

	"Acts": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Acts(ctx, c, 1)
		return err
	}},
	"AddServices": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.AddServices(ctx, c, policy.Service{})
	}},
	"Authority": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, _, err := v.Authority(ctx, c)
		return err
	}},
	"CreateVault": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.CreateVault(ctx, c, "not a name")
	}},
	"DeleteCredential": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.DeleteCredential(ctx, c, "NONE", false)
	}},
	"DeleteVault": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.DeleteVault(ctx, c, "none")
	}},
	"EnableServices": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.EnableServices(ctx, c, true, "none")
	}},
	"EndRun": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.EndRun(ctx, c, "none")
		return err
	}},
	"EndSession": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.EndSession(ctx, c, "none")
	}},
	"RenewSession": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.RenewSession(ctx, c, "none")
		return err
	}},
	"Export": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.Export(ctx, c, io.Discard)
	}},
	"Import": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.Import(ctx, c, bytes.NewReader(nil), vault.ImportOptions{})
		return err
	}},
	"OpenSession": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.OpenSession(ctx, c, vault.Grant{})
		return err
	}},
	"RemovePassword": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.RemovePassword(ctx, c)
	}},
	"RemoveServices": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.RemoveServices(ctx, c, "none")
	}},
	"RevokeSession": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.RevokeSession(ctx, c, "0123456789")
		return err
	}},
	"RotateKey": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.RotateKey(ctx, c)
		return err
	}},
	"SetPassword": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.SetPassword(ctx, c, nil)
	}},
	"RemoveSurplus": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.RemoveSurplus(ctx, c)
		return err
	}},
	"SetRetention": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.SetRetention(ctx, c, vault.Retention{})
	}},
	"SetServices": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.SetServices(ctx, c, nil)
	}},
	"UseVault": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		return v.UseVault(ctx, c, "none")
	}},
	"VerifyAudit": {vault.RoleAdmin, func(ctx context.Context, v *vault.Vault, c vault.Caller) error {
		_, err := v.VerifyAudit(ctx, c)
		return err
	}},
}

func TestEveryMethodOfAVaultHasItsRole(t *testing.T) {
	typ := reflect.TypeFor[*vault.Vault]()
	for i := range typ.NumMethod() {
		if _, ok := methods[typ.Method(i).Name]; !ok {
			t.Errorf("%s is in no row of the table: say what it asks of its caller", typ.Method(i).Name)
		}
	}
	for name, m := range methods {
		method, ok := typ.MethodByName(name)
		if !ok {
			t.Errorf("there is no %s", name)
			continue
		}
		// What takes a caller asks who it is; what takes none cannot.
		takes := false
		for i := range method.Type.NumIn() {
			takes = takes || method.Type.In(i) == reflect.TypeFor[vault.Caller]()
		}
		if takes != (m.need != open) {
			t.Errorf("%s takes a caller: %v; it needs %v", name, takes, m.need)
		}
	}
}

// wholeFile are the methods that a role on one vault of the file does not do for.
var wholeFile = map[string]bool{
	"CreateVault": true, "DeleteVault": true, "UseVault": true, "SetPassword": true, "RemovePassword": true,
	"RotateKey": true, "SetRetention": true, "VerifyAudit": true,
}

func TestNoMethodServesACallerWhoseRoleIsTooSmallOrElsewhere(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	id, _ := row(t, rows(t, o), "credential", "A")
	type who struct {
		caller            vault.Caller
		elsewhere, nobody bool
	}
	var callers []who
	for role := range vault.RoleAdmin + 2 {
		callers = append(callers,
			who{caller: vault.Caller{Name: "anywhere", Role: role}},
			who{caller: vault.Caller{Name: "here", Role: role, Vault: id}},
			who{caller: vault.Caller{Name: "elsewhere", Role: role, Vault: "another"}, elsewhere: true})
	}
	callers = append(callers, who{nobody: true})
	for name, m := range methods {
		if m.need == open {
			continue
		}
		for _, w := range callers {
			may := !w.elsewhere && !w.nobody && (w.caller.Vault == "" || !wholeFile[name]) && w.caller.Role >= m.need && w.caller.Role <= vault.RoleAdmin
			err := m.call(t.Context(), v, w.caller)
			if forbidden := errors.Is(err, vault.ErrForbidden); forbidden == may {
				t.Errorf("%s as %+v: got %v", name, w.caller, err)
			}
		}
	}
}

func TestSessionIsACallerWithTheRoleOfAProxyOnItsVault(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	id, _ := row(t, rows(t, o), "credential", "A")
	s, _ := openSession(t, v, vault.Grant{})
	want := vault.Caller{Name: "session " + s.ID(), Role: vault.RoleProxy, Vault: id}
	if s.Caller() != want {
		t.Fatalf("%+v", s.Caller())
	}
	if _, err := v.Certificate(t.Context(), s.Caller()); err != nil {
		t.Errorf("its own vault: %v", err)
	}
	if _, err := v.Credentials(t.Context(), s.Caller()); !errors.Is(err, vault.ErrForbidden) {
		t.Errorf("more than a proxy may: %v", err)
	}
	other, _ := newVault(t, newClock())
	if _, err := other.Certificate(t.Context(), s.Caller()); !errors.Is(err, vault.ErrForbidden) {
		t.Errorf("another vault: %v", err)
	}
}
