package vault_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/store"
)

// Each of these makes this test binary a process that does one thing to a vault until
// it is killed, and says on stdout which time it begins and which it has done.
const (
	victimHome = "AV_TEST_VICTIM_HOME"
	victimJob  = "AV_TEST_VICTIM_JOB"
	victimFrom = "AV_TEST_VICTIM_FROM"
)

// kills is how many processes are killed at each job.
var kills = map[string]int{"set": 70, "rotate": 70, "import": 60}

// longestLife is how long a victim may act before it is killed.
const longestLife = 20 * time.Millisecond

// crashed are credentials that are always changed together, and so always agree.
var crashed = []string{"ONE", "TWO", "THREE"}

// still is never changed but by what rotates the key.
const still, stillValue = "STILL", "as it was"

func numbered(n int) []vault.Setting {
	settings := make([]vault.Setting, len(crashed))
	for i, key := range crashed {
		settings[i] = vault.Setting{Key: key, Value: vault.NewValue([]byte(strconv.Itoa(n)))}
	}
	return settings
}

func beVictim(home string) int {
	ctx := context.Background()
	v, err := vault.Open(ctx, vault.Options{Home: home})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	from, err := strconv.Atoi(os.Getenv(victimFrom))
	for n := from; err == nil; n++ {
		act := map[string]func() error{
			"set":    func() error { return v.Set(ctx, vault.Owner(), numbered(n)...) },
			"rotate": func() error { _, err := v.RotateKey(ctx, vault.Owner()); return err },
			"import": func() error {
				_, err := v.Import(ctx, vault.Owner(), strings.NewReader(os.Getenv(strconv.Itoa(n%2))), vault.ImportOptions{Overwrite: true})
				return err
			},
		}[os.Getenv(victimJob)]
		fmt.Println("begin", n)
		if err = act(); err == nil {
			fmt.Println("done", n)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// killed starts a victim, kills it at a moment that nobody chose, and returns the last
// number that it began and that it finished.
func killed(t *testing.T, o vault.Options, job string, from int, after time.Duration, more ...string) (begun, done int) {
	t.Helper()
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env = append(os.Environ(), victimHome+"="+o.Home, victimJob+"="+job, victimFrom+"="+strconv.Itoa(from))
	victim.Env = append(victim.Env, more...)
	var stderr bytes.Buffer
	victim.Stderr = &stderr
	stdout, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	first, err := out.ReadString('\n') // past the start of the program
	if err == nil {
		time.Sleep(after)
	}
	_ = victim.Process.Kill()
	rest, _ := io.ReadAll(out)
	_ = victim.Wait()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %d: %v: %s", job, from, err, &stderr)
	}
	begun, done = from-1, from-1
	for line := range strings.Lines(first + string(rest)) {
		what, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(number)
		switch {
		case err != nil:
			t.Fatalf("%q", line)
		case what == "begin":
			begun = n
		case what == "done":
			done = n
		}
	}
	return begun, done
}

// sound opens the vault as the next process does, and fails unless all that was ever
// acknowledged is there. It returns the one value of all that change together.
func sound(t *testing.T, o vault.Options) int {
	t.Helper()
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := v.VerifyAudit(t.Context(), owner); err != nil {
		t.Fatalf("audit: %v", err)
	}
	if _, _, err := v.Authority(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	reveal := func(key string) string {
		value, err := v.Reveal(t.Context(), owner, key)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return string(value.Open())
	}
	if got := reveal(still); got != stillValue {
		t.Fatalf("%s is %q", still, got)
	}
	value := reveal(crashed[0])
	for _, key := range crashed[1:] {
		if got := reveal(key); got != value {
			t.Fatalf("%s is %q, and %s is %q: half an act was kept", crashed[0], value, key, got)
		}
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// integrity asks SQLite itself.
func integrity(t *testing.T, o vault.Options) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(o.Home, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var answer string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
		t.Fatalf("integrity_check: %q, %v", answer, err)
	}
}

// random is a source whose seed the test's log names; AV_TEST_SEED repeats one.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("AV_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("AV_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// crashVault is a vault for victims. It is closed: who looks opens it anew.
func crashVault(t *testing.T) vault.Options {
	t.Helper()
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home")}
	if err := vault.Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	settings := append(numbered(0), vault.Setting{Key: still, Value: vault.NewValue([]byte(stillValue))})
	if err := errors.Join(v.Set(t.Context(), owner, settings...), v.Close()); err != nil {
		t.Fatal(err)
	}
	return o
}

// crash kills victims at a job. look says what the vault holds, and shown what it shall
// hold after the nth act: after a kill that is the last act which was done, or the one
// begun. Kills must land within acts, or nothing was tried.
func crash(t *testing.T, o vault.Options, job string, look func() int, shown func(n int) int, more ...string) {
	t.Helper()
	source := random(t)
	state, landed, kept, rowsBefore := 0, 0, 0, audited(t, o, job)
	for range kills[job] {
		after := time.Duration(source.Int64N(int64(longestLife)))
		begun, done := killed(t, o, job, state+1, after, more...)
		integrity(t, o)
		got := look()
		if begun > done {
			landed++
		}
		switch {
		case got == shown(done):
			state = done
		case got == shown(begun):
			kept++
			state = begun
		default:
			t.Fatalf("the vault shows %d after act %d was done and %d begun", got, done, begun)
		}
		// Neither the act without its row in the audit table, nor the row without the act.
		if got := audited(t, o, job) - rowsBefore; got != state {
			t.Fatalf("%d acts and %d rows in the audit table", state, got)
		}
	}
	t.Logf("%d acts; %d of %d kills landed within one, and %d of those acts were kept", state, landed, kills[job], kept)
	if landed == 0 {
		t.Errorf("none of %d kills landed within an act", kills[job])
	}
}

// audited counts the rows in the audit table of acts of a job that were done.
func audited(t *testing.T, o vault.Options, job string) (n int) {
	t.Helper()
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	acts, err := v.Acts(t.Context(), owner, 1<<20)
	if err := errors.Join(err, v.Close()); err != nil {
		t.Fatal(err)
	}
	row := map[string]vault.Act{
		"set": {Act: "set credential", Object: crashed[0]}, "rotate": {Act: "rotate key", Object: "data key"}, "import": {Act: "import", Object: "default"},
	}[job]
	for _, a := range acts {
		if a.Act == row.Act && a.Object == row.Object && a.Error == "" {
			n++
		}
	}
	return n
}

func itself(n int) int { return n }

func TestKilledSetLeavesTheOldOrTheNew(t *testing.T) {
	t.Parallel()
	o := crashVault(t)
	crash(t, o, "set", func() int { return sound(t, o) }, itself)
}

func TestKilledRotationLeavesTheOldKeyOrTheNew(t *testing.T) {
	t.Parallel()
	o := crashVault(t)
	first := generation(t, o)
	crash(t, o, "rotate", func() int {
		if got := sound(t, o); got != 0 {
			t.Fatalf("a rotation changed a value to %d", got)
		}
		return generation(t, o) - first
	}, itself)
}

func generation(t *testing.T, o vault.Options) (n int) {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(o.Home, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		g, err := tx.Generation()
		n = int(g)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKilledImportLeavesTheOldOrTheNew(t *testing.T) {
	t.Parallel()
	o := crashVault(t)
	// Two backups, which the victim brings in by turns.
	var backups []string
	for n := range 2 {
		v, err := vault.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := errors.Join(v.Set(t.Context(), owner, numbered(1-n)...), v.Export(t.Context(), owner, &b), v.Close()); err != nil {
			t.Fatal(err)
		}
		backups = append(backups, fmt.Sprintf("%d=%s", 1-n, &b))
	}
	// The last one set is what act 0 would have brought.
	crash(t, o, "import", func() int { return sound(t, o) }, func(n int) int { return n % 2 }, backups...)
}
