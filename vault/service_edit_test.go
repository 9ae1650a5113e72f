package vault_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func serviceNames(t testing.TB, v *vault.Vault) string {
	t.Helper()
	list, err := v.Services(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list {
		name := s.Name
		if s.Disabled {
			name += "(off)"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestServicesAreEditedByNameAllOrNone(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	service := func(name string) policy.Service { return bearer(name, name+".test", "A") }
	ctx := t.Context()
	for _, step := range []struct {
		do      func() error
		refused bool
		want    string
	}{
		{func() error { return v.AddServices(ctx, owner, service("a"), service("b")) }, false, "a b"},
		{func() error { return v.AddServices(ctx, owner, service("c"), service("a")) }, true, "a b"},
		{func() error { return v.AddServices(ctx, owner, service("c"), service("c")) }, true, "a b"},
		{func() error { return v.AddServices(ctx, owner, service("c"), bearer("bad name", "x.test", "A")) }, true, "a b"},
		{func() error { return v.AddServices(ctx, owner, bearer("c", "c.test", "MISSING")) }, true, "a b"},
		{func() error { return v.AddServices(ctx, owner) }, true, "a b"},
		{func() error { return v.AddServices(ctx, owner, service("c")) }, false, "a b c"},
		{func() error { return v.RemoveServices(ctx, owner, "b", "none") }, true, "a b c"},
		{func() error { return v.RemoveServices(ctx, owner, "b", "b") }, true, "a b c"},
		{func() error { return v.RemoveServices(ctx, owner) }, true, "a b c"},
		{func() error { return v.RemoveServices(ctx, owner, "c", "a") }, false, "b"},
	} {
		if err := step.do(); (err != nil) != step.refused {
			t.Fatalf("got %v, want %q", err, step.want)
		} else if got := serviceNames(t, v); got != step.want {
			t.Fatalf("got %q, want %q, %v", got, step.want, err)
		}
	}
	for name, do := range map[string]func(vault.Caller) error{
		"add":    func(c vault.Caller) error { return v.AddServices(ctx, c, service("z")) },
		"remove": func(c vault.Caller) error { return v.RemoveServices(ctx, c, "b") },
		"enable": func(c vault.Caller) error { return v.EnableServices(ctx, c, true, "b") },
	} {
		if err := do(vault.Caller{Name: "member", Role: vault.RoleMember}); !errors.Is(err, vault.ErrForbidden) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEditedServicesAreWhatSessionsSee(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	session := use(t, v, "A")
	target := policy.Target{Host: "b.test", Port: 443}
	if session.Policy().Reach(target).Allow {
		t.Fatal("allowed before it is added")
	}
	if err := v.AddServices(t.Context(), owner, bearer("b", "b.test", "A")); err != nil {
		t.Fatal(err)
	}
	if !session.Policy().Reach(target).Allow {
		t.Fatal("not allowed after it is added")
	}
	if err := v.RemoveServices(t.Context(), owner, "b"); err != nil {
		t.Fatal(err)
	}
	if session.Policy().Reach(target).Allow {
		t.Fatal("allowed after it is removed")
	}
}

func TestServiceWhoseCredentialIsGoneCanBeRemovedAndOthersEdited(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	set(t, v, "GONE", "1")
	use(t, v, "A", "GONE")
	if err := v.DeleteCredential(t.Context(), owner, "GONE", true); err != nil {
		t.Fatal(err)
	}
	if err := v.AddServices(t.Context(), owner, bearer("b", "b.test", "A")); err != nil {
		t.Fatal(err)
	}
	if err := v.RemoveServices(t.Context(), owner, "gone"); err != nil {
		t.Fatal(err)
	}
	if got := serviceNames(t, v); got != "a b" {
		t.Fatalf("got %q", got)
	}
}

func TestEditsOfTwoProcessesAreBothKept(t *testing.T) {
	one, o := newVault(t, newClock())
	two := openVault(t, o)
	const rounds = 15
	var wg sync.WaitGroup
	errs := make(chan error, 4*rounds)
	for name, v := range map[string]*vault.Vault{"one": one, "two": two} {
		wg.Go(func() {
			for i := range rounds {
				s := policy.Service{Name: fmt.Sprintf("%s-%d", name, i), Host: fmt.Sprintf("%s-%d.test", name, i), Auth: policy.Auth{Type: policy.Passthrough}}
				errs <- v.AddServices(t.Context(), owner, s)
				if i%2 == 1 {
					errs <- v.RemoveServices(t.Context(), owner, s.Name)
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := one.Services(t.Context(), owner)
	if want := 2 * (rounds + 1) / 2; err != nil || len(list) != want {
		t.Fatalf("%d services, want %d, %v", len(list), want, err)
	}
}

func TestServicesAreSwitchedOffAndOnByName(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	set(t, v, "B", "1")
	session := use(t, v, "A", "B")
	ctx := t.Context()
	if err := v.EnableServices(ctx, owner, false, "a", "none"); err == nil || serviceNames(t, v) != "a b" {
		t.Fatalf("got %v", err)
	}
	if err := v.EnableServices(ctx, owner, false, "a"); err != nil || serviceNames(t, v) != "a(off) b" {
		t.Fatalf("got %v", err)
	}
	if session.Policy().Reach(policy.Target{Host: "a.test", Port: 443}).Allow {
		t.Error("a service that is off is still reached")
	}
	// Off, it does not miss its credential; on, it does.
	if err := v.DeleteCredential(ctx, owner, "A", true); err != nil {
		t.Fatal(err)
	}
	list, err := v.Services(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SetServices(ctx, owner, list); err != nil {
		t.Fatal(err)
	}
	if err := v.EnableServices(ctx, owner, true, "a"); err == nil || !strings.Contains(hint(err), "credential set A") {
		t.Fatalf("got %v", err)
	}
	// A binding holds for what is off, too: it may be switched on any time.
	err = v.Set(ctx, owner, vault.Setting{Key: "A", Value: vault.NewValue([]byte("2")), Hosts: []string{"other.test"}})
	if !errors.Is(err, vault.ErrBound) {
		t.Fatalf("got %v", err)
	}
	set(t, v, "A", "2")
	if err := v.EnableServices(ctx, owner, true, "a", "b"); err != nil || serviceNames(t, v) != "a b" {
		t.Fatalf("got %v", err)
	}
	if !session.Policy().Reach(policy.Target{Host: "a.test", Port: 443}).Allow {
		t.Error("a service that is on again is not reached")
	}
}
