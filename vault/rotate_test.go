package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

func rotate(t testing.TB, v *vault.Vault) int {
	t.Helper()
	n, err := v.RotateKey(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// dataKey opens the lock with the password, as whoever has the file and it would.
func dataKey(t testing.TB, o vault.Options, password string) seal.Key {
	t.Helper()
	method, box := lock(t, o)
	key, err := seal.Wrapped{Method: method, Box: box}.OpenWithPassword([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRotationReEncryptsEverythingAndChangesNothingElse(t *testing.T) {
	v, o, _ := newSealedVault(t, "pw")
	set(t, v, "A", "1")
	if err := v.CreateVault(t.Context(), owner, "second"); err != nil {
		t.Fatal(err)
	}
	there := o
	there.Vault = "second"
	second := openVault(t, there)
	set(t, second, "B", "2")

	// An earlier value, and one about which something is said in the clear.
	old, db := dataKey(t, o, "pw"), raw(t, o)
	const meta = `{"version":2,"hosts":["a.test"]}`
	places := map[string]seal.Place{
		"SELECT sealed FROM versions WHERE name = 'A'": {Vault: v.ID(), Kind: "credential", Name: "A"},
		"SELECT sealed FROM secrets WHERE name = 'C'":  {Vault: v.ID(), Kind: "credential", Name: "C", Bound: meta},
	}
	for query, place := range places {
		box, err := old.Seal(place, []byte("bound to its place"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(query, "versions") {
			execute(t, db, "INSERT INTO versions VALUES (?, 'A', 1, ?, '', 7)", v.ID(), box)
		} else {
			execute(t, db, "INSERT INTO secrets (vault_id, kind, name, sealed, created, updated, meta) VALUES (?, 'credential', 'C', ?, 7, 8, ?)", v.ID(), box, meta)
		}
	}
	const audited = "SELECT hex(sealed) FROM audit_head"
	chain := texts(t, db, audited)
	const rest = "SELECT vault_id || kind || name || created || updated || meta FROM secrets UNION ALL SELECT vault_id || name || version || meta || created FROM versions ORDER BY 1"
	const boxes = "SELECT hex(sealed) FROM secrets UNION ALL SELECT hex(sealed) FROM versions"
	otherTables, otherColumns, before := dump(t, o, "secrets", "versions", "lock"), texts(t, db, rest), texts(t, db, boxes)
	method, _ := lock(t, o)

	if n := rotate(t, v); n != 6 || n != len(before) { // two CA keys, A, B, C and the earlier A
		t.Fatalf("%d rows of %d", n, len(before))
	}
	if diff := cmp.Diff(otherTables, dump(t, o, "secrets", "versions", "lock")); diff != "" {
		t.Errorf("other tables:\n%s", diff)
	}
	if diff := cmp.Diff(otherColumns, texts(t, db, rest)); diff != "" {
		t.Errorf("other columns:\n%s", diff)
	}
	kept := map[string]bool{}
	for _, box := range before {
		kept[box] = true
	}
	for _, box := range texts(t, db, boxes) {
		if kept[box] {
			t.Errorf("a row is sealed as before: %.40s", box)
		}
	}
	if got, _ := lock(t, o); got != method {
		t.Errorf("the method changed from %s to %s", method, got)
	}
	if got := texts(t, db, "SELECT generation FROM lock"); got[0] != "2" {
		t.Errorf("generation %s", got)
	}
	if got := texts(t, db, audited); got[0] == chain[0] {
		t.Error("the audit's end is sealed with the old key")
	}
	if _, err := v.VerifyAudit(t.Context(), owner); err != nil {
		t.Error(err)
	}

	next := dataKey(t, o, "pw")
	for query, place := range places {
		var box []byte
		if err := db.QueryRowContext(t.Context(), query).Scan(&box); err != nil {
			t.Fatal(err)
		}
		if plain, err := next.Open(place, box); err != nil || string(plain) != "bound to its place" {
			t.Errorf("%v: %q, %v", place, plain, err)
		}
		if _, err := old.Open(place, box); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%v opens with the old key: %v", place, err)
		}
	}
	reads(t, openVault(t, o), "A", "1")
	reads(t, openVault(t, there), "B", "2")
	reads(t, v, "A", "1")
	if _, _, err := openVault(t, there).Authority(t.Context(), owner); err != nil {
		t.Error(err)
	}
}

func TestRotationWithAKeyFileKeepsTheKeyFile(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	before := readFile(t, o.Home, "vault.key")
	for range 3 {
		rotate(t, v)
	}
	if !bytes.Equal(before, readFile(t, o.Home, "vault.key")) {
		t.Error("the key file was changed")
	}
	reads(t, openVault(t, o), "A", "1")
}

func TestRotationThatFailsChangesNothing(t *testing.T) {
	v, o, _ := newSealedVault(t, "pw")
	set(t, v, "A", "1")
	set(t, v, "B", "2")
	db := raw(t, o)
	box := texts(t, db, "SELECT hex(sealed) FROM secrets WHERE name = 'A'")[0]
	for name, c := range map[string]struct {
		spoil, mend string
		want        error
	}{
		"a row that cannot be written":  {"CREATE TRIGGER broken BEFORE UPDATE ON secrets WHEN OLD.name = 'B' BEGIN SELECT raise(ABORT, 'broken'); END", "DROP TRIGGER broken", nil},
		"the lock, which comes last":    {"CREATE TRIGGER broken BEFORE UPDATE OF generation ON lock BEGIN SELECT raise(ABORT, 'broken'); END", "DROP TRIGGER broken", nil},
		"the audit row, after the last": {"CREATE TRIGGER broken BEFORE INSERT ON audit WHEN NEW.error = '' BEGIN SELECT raise(ABORT, 'broken'); END", "DROP TRIGGER broken", nil},
		"a row that does not open":      {"UPDATE secrets SET sealed = zeroblob(40) WHERE name = 'A'", "UPDATE secrets SET sealed = x'" + box + "' WHERE name = 'A'", vault.ErrCorrupt},
	} {
		execute(t, db, c.spoil)
		before := dump(t, o)
		n, err := v.RotateKey(t.Context(), owner)
		if err == nil || n != 0 || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if diff := cmp.Diff(before, dump(t, o)); diff != "" {
			t.Errorf("%s: changed:\n%s", name, diff)
		}
		execute(t, db, c.mend)
		reads(t, v, "A", "1")
		reads(t, openVault(t, o), "B", "2")
	}
	if n := rotate(t, v); n != 4+8 { // the CA key, A, B, the list of services, and 8 sessions
		t.Fatalf("with nothing in the way: %d rows", n)
	}
}

// forgetful answers once, as a variable that is then gone.
func forgetful(password string) func(context.Context) ([]byte, error) {
	var once sync.Once
	return func(context.Context) (b []byte, err error) {
		err = errors.New("asked again")
		once.Do(func() { b, err = []byte(password), nil })
		return b, err
	}
}

func TestOtherProcessesGoOnThroughARotation(t *testing.T) {
	a, o, _ := newSealedVault(t, "pw")
	c := newClock()
	other := o
	other.Password, other.Now = forgetful("pw"), c.Now
	b := openVault(t, other)
	set(t, a, "A", "1")
	session := use(t, b, "A")
	for i := range 3 {
		rotate(t, a)
		c.advance(2 * time.Second) // past what memory keeps
		if value, err := session.Credential(t.Context(), "A", "a.test"); err != nil || string(value.Open()) != "1" {
			t.Fatalf("round %d: reads %q, %v", i, value.Open(), err)
		}
		rotate(t, a)
		key := fmt.Sprintf("B%d", i)
		set(t, b, key, "2")
		if list, err := a.Credentials(t.Context(), owner); err != nil || len(list) != i+2 {
			t.Fatalf("round %d: %v, %v", i, list, err)
		}
		reads(t, openVault(t, o), key, "2")
		rotate(t, a)
		if _, _, err := b.Authority(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
		rotate(t, a)
		rotate(t, b)
		session = use(t, b, "A")
	}
}

func TestProcessThatCannotUnlockAgainSaysSoAndChangesNothing(t *testing.T) {
	a, o, p := newSealedVault(t, "one")
	c := newClock()
	asked := 0
	other := o
	other.Now = c.Now
	other.Password = func(context.Context) ([]byte, error) {
		if asked++; asked > 1 {
			return nil, vault.ErrNoPassword
		}
		return []byte("one"), nil
	}
	b := openVault(t, other)
	set(t, a, "A", "1")
	session := use(t, b, "A")
	if err := a.SetPassword(t.Context(), owner, []byte("two")); err != nil {
		t.Fatal(err)
	}
	set(t, b, "B", "the data key is still the same")
	rotate(t, a)
	before := dump(t, o)
	c.advance(2 * time.Second)
	for range 5 {
		_, err := session.Credential(t.Context(), "A", "a.test")
		if errors.Is(err, vault.ErrNoSession) {
			continue // who watches the file has seen it first, and ended what can no longer be looked after
		}
		if !errors.Is(err, vault.ErrRelocked) || !errors.Is(err, vault.ErrNoPassword) || !strings.Contains(hint(err), "present password") {
			t.Fatalf("reads: %v, hint %q", err, hint(err))
		}
	}
	if err := b.SetCredential(t.Context(), owner, "A", vault.NewValue([]byte("x"))); !errors.Is(err, vault.ErrRelocked) || !strings.Contains(hint(err), "present password") {
		t.Fatalf("writes: %v, hint %q", err, hint(err))
	}
	if diff := cmp.Diff(before, dump(t, o)); diff != "" {
		t.Fatalf("changed:\n%s", diff)
	}
	if asked != 2 { // not for each request
		t.Errorf("asked %d times", asked)
	}
	if _, err := b.EndRun(t.Context(), owner, "run1"); err != nil { // which needs no key
		t.Errorf("ending: %v", err)
	}

	// One that can ask goes on.
	p.password = "two"
	other.Password = p.ask
	reads(t, openVault(t, other), "A", "1")
	c.advance(time.Minute)
	asked = 0
	if _, err := session.Credential(t.Context(), "A", "a.test"); !errors.Is(err, vault.ErrNoSession) {
		t.Errorf("the run has ended: %v", err)
	}
}

// Whoever should type the new password may be away. Nobody looks at the file meanwhile, so
// nobody sees what is revoked.
func TestSessionsEndWhileThePasswordIsWaitedFor(t *testing.T) {
	a, o, _ := newSealedVault(t, "one")
	set(t, a, "A", "1")
	other, first := o, forgetful("one")
	other.Password = func(ctx context.Context) ([]byte, error) {
		if password, err := first(ctx); err == nil {
			return password, nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	session := use(t, openVault(t, other), "A")
	if err := a.SetPassword(t.Context(), owner, []byte("two")); err != nil {
		t.Fatal(err)
	}
	rotate(t, a)
	closes(t, "waiting", session.Done())
}

// A writer and a reader of another process, and a rotation beside each write: nobody
// seals with a key that is gone, and nobody finds a row that does not open.
func TestManyRotationsLoseNothing(t *testing.T) {
	a, o := newVault(t, newClock())
	b := openVault(t, o)
	set(t, a, "A", "1")
	const rounds = 30
	var wg sync.WaitGroup
	turns := make(chan struct{}, rounds)
	wg.Go(func() {
		defer close(turns)
		for i := range rounds {
			turns <- struct{}{}
			if err := b.SetCredential(t.Context(), owner, fmt.Sprintf("B_%d", i), vault.NewValue([]byte("x"))); err != nil {
				t.Error(err)
			}
			if _, _, err := b.Authority(t.Context(), owner); err != nil {
				t.Error(err)
			}
		}
	})
	for range turns {
		if _, err := a.RotateKey(t.Context(), owner); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if n := rotate(t, openVault(t, o)); n != rounds+2 { // which opens every row
		t.Errorf("%d rows", n)
	}
	if got := texts(t, raw(t, o), "SELECT generation FROM lock"); got[0] != fmt.Sprint(rounds+2) {
		t.Errorf("generation %s", got)
	}
}

// Whoever writes the file cannot make a process take another key for the data key.
func TestForgedGenerationOpensNothing(t *testing.T) {
	a, o, _ := newSealedVault(t, "pw")
	set(t, a, "A", "1")
	db := rows(t, o)
	foreign, err := seal.WrapWithPassword(seal.NewKey(), []byte("theirs"))
	if err != nil {
		t.Fatal(err)
	}
	method, _ := lock(t, o)
	for name, w := range map[string]seal.Wrapped{"another lock": foreign, "another box under the same method": {Method: method, Box: foreign.Box}} {
		update(t, db, func(tx *store.Tx) error { return errors.Join(tx.SetLock(w.Method, w.Box), tx.NextGeneration()) })
		if _, _, err := a.Authority(t.Context(), owner); !errors.Is(err, vault.ErrRelocked) || !errors.Is(err, vault.ErrWrongPassword) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func BenchmarkRotateKey(b *testing.B) {
	v, _ := newVault(b, newClock())
	values := map[string]vault.Value{}
	for i := range 1000 {
		values[fmt.Sprintf("KEY_%d", i)] = vault.NewValue([]byte("ghp_0123456789abcdefghijklmnopqrstuvwxyz"))
	}
	if err := v.SetCredentials(b.Context(), owner, values); err != nil {
		b.Fatal(err)
	}
	rows := 0
	for b.Loop() {
		rows += rotate(b, v)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(rows), "µs/row")
}
