package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

// writerHome makes this test binary a second process that writes to a vault.
const writerHome = "AV_TEST_WRITER_HOME"

// writerPause lets others in between two rounds.
const writerPause = "AV_TEST_WRITER_PAUSE"

const rounds = 40

func write(v *vault.Vault, name string) error {
	ctx := context.Background()
	pause, _ := time.ParseDuration(os.Getenv(writerPause))
	for i := range rounds {
		time.Sleep(pause)
		key := fmt.Sprintf("%s_%d", name, i)
		if err := v.SetCredential(ctx, vault.Owner(), key, vault.NewValue([]byte(key))); err != nil {
			return err
		}
		if err := v.SetCredential(ctx, vault.Owner(), "SHARED", vault.NewValue([]byte(name))); err != nil {
			return err
		}
		v.Record(vault.Entry{Time: time.Now(), Run: name, Host: "h.test", Port: 443})
	}
	return nil
}

func writeAsAnotherProcess(home string) int {
	v, err := vault.Open(context.Background(), vault.Options{Home: home})
	if err == nil {
		if err = write(v, os.Getenv("AV_TEST_WRITER_NAME")); err == nil {
			err = v.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// writerProcesses starts a process for each name; wait waits for them.
func writerProcesses(t *testing.T, o vault.Options, names ...string) (wait func()) {
	t.Helper()
	var children []*exec.Cmd
	var outputs []*bytes.Buffer
	for _, name := range names {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), writerHome+"="+o.Home, "AV_TEST_WRITER_NAME="+name)
		out := &bytes.Buffer{}
		child.Stdout, child.Stderr = out, out
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		children, outputs = append(children, child), append(outputs, out)
	}
	return func() {
		for i, child := range children {
			if err := child.Wait(); err != nil {
				t.Errorf("%s: %v: %s", names[i], err, outputs[i])
			}
		}
	}
}

func TestProcessesWriteAtOnceAndLoseNothing(t *testing.T) {
	v, o := newVault(t, newClock())
	wait := writerProcesses(t, o, "ONE", "TWO")
	if err := write(v, "ZERO"); err != nil {
		t.Errorf("this process: %v", err)
	}
	wait()
	list, err := v.Credentials(t.Context(), owner)
	if err != nil || len(list) != 3*rounds+1 {
		t.Errorf("%d credentials, %v, want %d", len(list), err, 3*rounds+1)
	}
	// Each of them made a version of its own of what they all set.
	if got := credential(t, v, "SHARED"); got.Version != 3*rounds {
		t.Errorf("version %d, want %d", got.Version, 3*rounds)
	}
	for _, run := range []string{"ZERO", "ONE", "TWO"} {
		if sum, err := v.Summary(t.Context(), owner, run); err != nil || sum.Requests != rounds {
			t.Errorf("%s: %+v, %v", run, sum, err)
		}
	}
}

func TestProcessesWriteWhileTheKeyIsReplacedAndLoseNothing(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "BEFORE", "1")
	names := []string{"ONE", "TWO", "THREE"}
	t.Setenv(writerPause, "5ms")
	wait := writerProcesses(t, o, names...)
	done := make(chan struct{})
	go func() { defer close(done); wait() }()
	written := func() int {
		list, err := v.Credentials(t.Context(), owner)
		if err != nil {
			t.Error(err)
		}
		return len(list)
	}
	nothing, everything := written(), len(names)*rounds+2
	between := 0
	for writing := true; writing; {
		before := written()
		if _, err := v.RotateKey(t.Context(), owner); err != nil {
			t.Error(err)
		}
		if before > nothing && written() < everything {
			between++
		}
		select {
		case <-done:
			writing = false
		case <-time.After(5 * time.Millisecond): // without it nobody else gets to write
		}
	}
	if between == 0 {
		t.Error("the key was never replaced between two of their acts")
	}
	t.Logf("the key was replaced %d times between their acts", between)
	reveal := func(key string) string {
		value, err := v.Reveal(t.Context(), owner, key)
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		return string(value.Open())
	}
	for _, name := range names {
		for i := range rounds {
			if key := fmt.Sprintf("%s_%d", name, i); reveal(key) != key {
				t.Errorf("%s is %q", key, reveal(key))
			}
		}
	}
	// Each of the processes set it as often, and each time what was there became a version.
	history, err := v.History(t.Context(), owner, "SHARED")
	if err != nil || history[0].Version != len(names)*rounds {
		t.Errorf("SHARED was set %d times, and %d were kept: %v", len(names)*rounds, history[0].Version, err)
	}
	if reveal("BEFORE") != "1" {
		t.Error("BEFORE is another")
	}
	if _, err := v.VerifyAudit(t.Context(), owner); err != nil {
		t.Error(err)
	}
}
