package vault_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// patience is for a machine that is busy with something else. What is promised is
// counted in looks, which are as fast as the machine.
const patience = time.Minute

// changerHome makes this test binary a second process that makes one change.
const changerHome = "AV_TEST_CHANGER_HOME"

// changes are what another process may do to what a session uses.
var changes = map[string]func(v *vault.Vault, session string) error{
	"credential": func(v *vault.Vault, _ string) error {
		return v.SetCredential(context.Background(), owner, "A", vault.NewValue([]byte("2")))
	},
	"service": func(v *vault.Vault, _ string) error {
		return v.SetServices(context.Background(), owner, []policy.Service{service("A", "b.test")})
	},
	"no service": func(v *vault.Vault, _ string) error { return v.SetServices(context.Background(), owner, nil) },
	"session":    func(v *vault.Vault, id string) error { return v.EndSession(context.Background(), owner, id) },
	"records": func(v *vault.Vault, _ string) error {
		for range 100 {
			v.Record(vault.Entry{Time: time.Now(), Run: "other", Host: "h.test", Port: 443, Keys: []string{"A"}})
		}
		_, err := v.Summary(context.Background(), owner, "other") // which waits until they are written
		return err
	},
}

func service(key, host string) policy.Service {
	return policy.Service{Name: "s", Host: host, Auth: policy.Auth{Type: policy.Bearer, Token: key}}
}

func changeAsAnotherProcess(home string) int {
	v, err := vault.Open(context.Background(), vault.Options{Home: home, Now: newClock().Now})
	if err == nil {
		err = errors.Join(changes[os.Getenv("AV_TEST_CHANGE")](v, os.Getenv("AV_TEST_SESSION")), v.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// others are the two ways in which somebody else may make a change.
var others = map[string]func(t *testing.T, o vault.Options, what, session string){
	"another Vault": func(t *testing.T, o vault.Options, what, session string) {
		if err := changes[what](openVault(t, o), session); err != nil {
			t.Fatal(err)
		}
	},
	"another process": func(t *testing.T, o vault.Options, what, session string) {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), changerHome+"="+o.Home, "AV_TEST_CHANGE="+what, "AV_TEST_SESSION="+session)
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	},
}

// inUse is a vault with a session that has used credential A of a.test.
func inUse(t *testing.T) (*vault.Vault, vault.Options, *vault.Session) {
	t.Helper()
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	s := use(t, v, "A")
	if got, err := s.Credential(t.Context(), "A", "a.test"); err != nil || string(got.Open()) != "1" {
		t.Fatalf("%q, %v", got.Open(), err)
	}
	settle(t, v)
	return v, o, s
}

// settle waits until v has seen its own acts, so that what it reads from here on is
// because of others.
func settle(t *testing.T, v *vault.Vault) {
	t.Helper()
	wait(t, "v looks", later(v, 3))
}

// later tells whether v has looked at the file again, n times from the beginning.
func later(v *vault.Vault, n int64) func() bool {
	before, _ := vault.Looks(v)
	return func() bool { now, _ := vault.Looks(v); return now >= before+n }
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %v: %s", patience, what)
		}
	}
}

func closes(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s was not seen in %v", what, patience)
	}
}

func TestChangeByOthersIsSeenWithinASecondAndWithoutAsking(t *testing.T) {
	target := policy.Target{Host: "a.test", Port: 443}
	seen := map[string]func(t *testing.T, v *vault.Vault, s *vault.Session, before int64){
		"credential": func(t *testing.T, v *vault.Vault, s *vault.Session, before int64) {
			wait(t, "nothing is read again", func() bool { _, n := vault.Looks(v); return n > before })
			// The reading forgets under the lock that the next look-up waits for. The test's
			// clock stands still: by age alone the old value would still be good.
			if got, err := s.Credential(t.Context(), "A", "a.test"); err != nil || string(got.Open()) != "2" {
				t.Errorf("%q, %v", got.Open(), err)
			}
		},
		"service": func(t *testing.T, _ *vault.Vault, s *vault.Session, _ int64) {
			if s.Policy().Reach(target).Allow || !s.Policy().Reach(policy.Target{Host: "b.test", Port: 443}).Allow || !s.Alive() {
				t.Error("not the new policy")
			}
		},
		"no service": func(t *testing.T, _ *vault.Vault, s *vault.Session, _ int64) {
			if s.Policy().Reach(target).Allow || !s.Alive() {
				t.Error("what is gone is allowed")
			}
		},
		"session": func(t *testing.T, _ *vault.Vault, s *vault.Session, _ int64) {
			if s.Alive() {
				t.Error("it lives")
			}
		},
	}
	for by, change := range others {
		for what, check := range seen {
			t.Run(what+" by "+by, func(t *testing.T) {
				t.Parallel()
				v, o, s := inUse(t)
				_, before := vault.Looks(v)
				changed := s.Changed()
				if !s.Policy().Reach(target).Allow || ended(s) {
					t.Fatal("it does not begin as it should")
				}
				change(t, o, what, s.ID())
				began, _ := vault.Looks(v) // the change is in the file
				switch what {
				case "service", "no service":
					closes(t, what, changed)
				case "session":
					closes(t, what, s.Done())
				}
				check(t, v, s, before)
				if what != "session" && what != "credential" && s.Changed() == changed {
					t.Error("Changed does not begin anew")
				}
				// The look under way when the change came may have missed it, the next may not.
				wait(t, "no reading", func() bool { _, n := vault.Looks(v); return n > before })
				if n := vault.LastReading(v) - began; n > 1 || vault.LooksInASecond < 4 {
					t.Errorf("seen by look %d after it, of %d in a second", n, vault.LooksInASecond)
				}
			})
		}
	}
}

func TestRecordsOfOthersAreNoReasonToReadAgain(t *testing.T) {
	for by, change := range others {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			v, o, s := inUse(t)
			changed := s.Changed()
			_, before := vault.Looks(v)
			change(t, o, "records", s.ID())
			wait(t, "v looks", later(v, 3))
			if _, n := vault.Looks(v); n != before || ended(s) || s.Changed() != changed {
				t.Errorf("%d readings", n-before)
			}
			if used := usesOf(t, o)["A"]; used == 0 {
				t.Error("the other has written nothing")
			}
			change(t, o, "no service", s.ID())
			closes(t, "a real change", changed)
			wait(t, "v looks", later(v, 3))
			if _, n := vault.Looks(v); n != before+1 {
				t.Errorf("%d readings for one change", n-before)
			}
		})
	}
}

// A credential that changes leaves policies alone: open tunnels need not ask.
func TestPolicyThatStaysTheSameIsNotReplaced(t *testing.T) {
	v, o, s := inUse(t)
	_, before := vault.Looks(v)
	set, changed := s.Policy(), s.Changed()
	others["another Vault"](t, o, "credential", "")
	wait(t, "nothing is read again", func() bool { _, n := vault.Looks(v); return n > before })
	wait(t, "v looks", later(v, 2))
	if s.Policy() != set || s.Changed() != changed {
		t.Error("replaced")
	}
}

func TestHalfAChangeIsNeverSeen(t *testing.T) {
	v, o, s := inUse(t)
	set(t, v, "B", "1")
	writer := openVault(t, o)
	states := [][]string{{"a.test", "b.test", "c.test"}, {"d.test", "e.test", "f.test"}}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			var services []policy.Service
			for _, host := range states[i%2] {
				services = append(services, policy.Service{Name: host[:1], Host: host, Auth: policy.Auth{Type: policy.Bearer, Token: "A"}})
			}
			if err := writer.SetServices(context.Background(), owner, services); err != nil {
				stopped <- err
				return
			}
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
		}
	}()
	for range 4 {
		changed := s.Changed()
		got := s.Policy()
		for _, hosts := range states {
			n := 0
			for _, host := range hosts {
				if got.Reach(policy.Target{Host: host, Port: 443}).Allow {
					n++
				}
			}
			// The state that the test begins with has a.test alone.
			if n != 0 && n != 3 && !(n == 1 && got.Reach(policy.Target{Host: "a.test", Port: 443}).Allow) {
				t.Errorf("%d services of %v", n, hosts)
			}
		}
		closes(t, "a change", changed)
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// Who cannot look cannot know what was revoked.
func TestSessionsEndWhenTheVaultCannotBeRead(t *testing.T) {
	raw := func(query string) func(*testing.T, vault.Options) {
		return func(t *testing.T, o vault.Options) {
			db, err := sql.Open("sqlite", filepath.Join(o.Home, "vault.db"))
			if err != nil {
				t.Fatal(err)
			}
			sqlExec(t, db, query)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, do := range map[string]func(*testing.T, vault.Options){
		"file gone": func(t *testing.T, o vault.Options) {
			if err := os.Remove(filepath.Join(o.Home, "vault.db")); err != nil {
				t.Fatal(err)
			}
		},
		"file replaced": func(t *testing.T, o vault.Options) {
			path := filepath.Join(o.Home, "vault.db")
			b := readFile(t, path)
			if err := os.WriteFile(path+"2", b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+"2", path); err != nil {
				t.Fatal(err)
			}
		},
		"vault deleted":   raw("DELETE FROM vaults"),
		"services broken": raw("UPDATE vaults SET revision = revision + 1; UPDATE services SET body = '[]'"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, o, s := inUse(t)
			do(t, o)
			closes(t, name, s.Done())
			if s.Alive() {
				t.Error("it lives")
			}
		})
	}
}

func TestSessionOfAVaultThatIsGoneIsNotFound(t *testing.T) {
	v, o := newVault(t, newClock())
	opened, err := v.OpenSession(t.Context(), owner, vault.Grant{})
	if err != nil {
		t.Fatal(err)
	}
	execute(t, raw(t, o), "DELETE FROM vaults")
	if _, err := v.SessionByToken(t.Context(), string(opened.Token.Open())); !errors.Is(err, vault.ErrNoSession) {
		t.Errorf("got %v", err)
	}
}

func TestFileIsNotWatchedBeforeThereIsASession(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	other, _ := newVault(t, newClock())
	openSession(t, other, vault.Grant{})
	wait(t, "the other looks", later(other, 3))
	if n, _ := vault.Looks(v); n != 0 {
		t.Errorf("%d looks", n)
	}
}
