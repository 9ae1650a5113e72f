package vault_test

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
)

// pageSize is that of the vault's file.
const pageSize = 4096

// stored is a small vault's file, and where in it everything of a table lies.
type stored struct {
	o    vault.Options
	file []byte
	// pages are the tables' pages, by name; each table has one.
	pages map[string]int
	// acts is how many rows the audit table has in file.
	acts int
}

func smallVault(t *testing.T) stored {
	t.Helper()
	s := stored{o: vault.Options{Home: filepath.Join(t.TempDir(), "home")}, pages: map[string]int{}}
	if err := vault.Init(t.Context(), s.o, nil); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), s.o)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []vault.Setting{
		{Key: "A", Value: vault.NewValue([]byte("earlier"))},
		{Key: "A", Value: vault.NewValue([]byte("present")), Hosts: []string{"a.test"}},
		{Key: "B", Reference: vault.Reference{Kind: "env", Target: "B_OF_THE_HOST"}},
	} {
		if err := v.Set(t.Context(), owner, setting); err != nil {
			t.Fatal(err)
		}
	}
	acts, err := v.Acts(t.Context(), owner, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.acts = len(acts); v.Close() != nil {
		t.Fatal("not closed")
	}
	s.file = []byte(readFile(t, s.o.Home, "vault.db"))
	for _, table := range []string{"secrets", "versions", "lock", "audit", "audit_head"} {
		page := under(t, s.o, "SELECT rootpage FROM sqlite_schema WHERE name = '"+table+"'")
		number, err := strconv.Atoi(string(page[0]))
		if err != nil {
			t.Fatal(err)
		}
		s.pages[table] = (number - 1) * pageSize
		if kind := s.file[s.pages[table]]; kind != 0x0a && kind != 0x0d {
			t.Fatalf("%s has more than one page", table)
		}
	}
	return s
}

// under asks the file as any other program would, and lets go of it.
func under(t *testing.T, o vault.Options, query string) (column [][]byte) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(o.Home, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			t.Fatal(err)
		}
		column = append(column, b)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return column
}

// used are the bytes of a table's page that SQLite has given a meaning.
func (s stored) used(table string) (at []int) {
	start := s.pages[table]
	page := s.file[start : start+pageSize]
	cells := int(binary.BigEndian.Uint16(page[3:]))
	for i := range page {
		if i < 8+2*cells || i >= int(binary.BigEndian.Uint16(page[5:])) {
			at = append(at, start+i)
		}
	}
	return at
}

// put makes file the vault's file.
func (s stored) put(t *testing.T, file []byte) {
	t.Helper()
	path := filepath.Join(s.o.Home, "vault.db")
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(path + suffix)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// times are what a backup says of when; no cipher covers them.
var times = regexp.MustCompile(`"(created|updated|set)":"[^"]*"`)

// everything is all that the vault's file says to whoever has its key, in words.
func (s stored) everything(t *testing.T) (all string, err error) {
	v, err := vault.Open(t.Context(), s.o)
	if err != nil {
		return "", err
	}
	defer func() { _ = v.Close() }()
	var b strings.Builder
	if _, err := v.VerifyAudit(t.Context(), owner); err != nil {
		return "", fmt.Errorf("audit: %w", err)
	}
	if err := v.Export(t.Context(), owner, &b); err != nil {
		return "", err
	}
	var lines []string
	// A row whose own name was hit is found no more, and whoever asks for it is told so.
	for key, versions := range map[string]int{"A": 2, "B": 1} {
		history, err := v.History(t.Context(), owner, key)
		if err == nil && len(history) != versions {
			err = fmt.Errorf("%w: %s has %d versions", vault.ErrCorrupt, key, len(history))
		}
		if err != nil {
			return "", err
		}
		for _, h := range history {
			lines = append(lines, fmt.Sprintln(key, h.Version, h.Current, h.Hosts, h.Ref))
		}
	}
	acts, err := v.Acts(t.Context(), owner, 1<<20)
	if err != nil {
		return "", err
	}
	slices.Sort(lines)
	fmt.Fprintln(&b, lines, acts[:min(len(acts), s.acts)])
	return times.ReplaceAllString(b.String(), ""), nil
}

// sealedSpans are what must not lose a bit unseen: ciphertexts with their nonces, what is
// bound to them, the wrapped key, the audit rows' words and hashes.
var sealedSpans = map[string]string{
	"secrets":    "SELECT sealed FROM secrets UNION ALL SELECT CAST(meta AS BLOB) FROM secrets WHERE meta <> ''",
	"versions":   "SELECT sealed FROM versions UNION ALL SELECT CAST(meta AS BLOB) FROM versions WHERE meta <> ''",
	"lock":       "SELECT wrapped FROM lock UNION ALL SELECT CAST(method AS BLOB) FROM lock",
	"audit":      "SELECT hash FROM audit UNION ALL SELECT CAST(caller || role || act || object AS BLOB) FROM audit WHERE error = ''",
	"audit_head": "SELECT hash FROM audit_head UNION ALL SELECT sealed FROM audit_head",
}

// spans finds the sealed bytes of a table's page.
func (s stored) spans(t *testing.T, table string) map[int]bool {
	t.Helper()
	must := map[int]bool{}
	page := s.file[s.pages[table] : s.pages[table]+pageSize]
	for _, field := range under(t, s.o, sealedSpans[table]) {
		at := bytes.Index(page, field)
		if at < 0 || len(field) == 0 {
			t.Fatalf("%s does not hold %q", table, field)
		}
		for i := range field {
			must[s.pages[table]+at+i] = true
		}
	}
	return must
}

func TestNoBitOfWhatIsSealedFlipsUnseen(t *testing.T) {
	for table := range sealedSpans {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			s := smallVault(t)
			sealed := s.spans(t, table)
			want, err := s.everything(t)
			if err != nil || !strings.Contains(want, `"a.test"`) {
				t.Fatalf("%v: %s", err, want)
			}
			flipped, seen := 0, 0
			for n, at := range s.used(table) {
				file := bytes.Clone(s.file)
				file[at] ^= 1 << (n % 8)
				s.put(t, file)
				got, err := s.everything(t)
				flipped++
				if err != nil {
					seen++
				}
				switch {
				case err != nil && hint(err) == "":
					t.Errorf("byte %d: nobody is told what to do about %v", at-s.pages[table], err)
				case err == nil && got != want:
					t.Errorf("byte %d: it says something else:\n%s", at-s.pages[table], cmp.Diff(want, got))
				case err == nil && sealed[at]:
					t.Errorf("byte %d is sealed, and was flipped unseen", at-s.pages[table])
				}
			}
			t.Logf("%d bytes flipped, %d of them sealed: %d seen, the others changed nothing", flipped, len(sealed), seen)
			s.put(t, s.file)
			if got, err := s.everything(t); err != nil || got != want {
				t.Errorf("with every byte as it was: %v", err)
			}
		})
	}
}
