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

const rounds = 40

func write(v *vault.Vault, name string) error {
	ctx := context.Background()
	for i := range rounds {
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

func TestProcessesWriteAtOnceAndLoseNothing(t *testing.T) {
	v, o := newVault(t, newClock())
	var children []*exec.Cmd
	var outputs []*bytes.Buffer
	names := []string{"ONE", "TWO"}
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
	if err := write(v, "ZERO"); err != nil {
		t.Errorf("this process: %v", err)
	}
	for i, child := range children {
		if err := child.Wait(); err != nil {
			t.Errorf("%s: %v: %s", names[i], err, outputs[i])
		}
	}
	list, err := v.Credentials(t.Context(), owner)
	if err != nil || len(list) != 3*rounds+1 {
		t.Errorf("%d credentials, %v, want %d", len(list), err, 3*rounds+1)
	}
	for _, run := range []string{"ZERO", "ONE", "TWO"} {
		if sum, err := v.Summary(t.Context(), owner, run); err != nil || sum.Requests != rounds {
			t.Errorf("%s: %+v, %v", run, sum, err)
		}
	}
}
