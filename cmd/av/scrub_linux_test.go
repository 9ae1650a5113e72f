package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/av-project/av/scripts/require"
)

// asked starts av where it asks for a credential's value, which is past whatever it
// does first, and returns its process id. environment goes to the kernel as it is:
// os/exec would drop what is there twice.
func asked(t *testing.T, environment ...string) (pid int) {
	t.Helper()
	program, err := exec.LookPath("av") // this test binary, by TestMain
	if err != nil {
		t.Fatal(err)
	}
	environment = append(environment, "AV_HOME="+filepath.Join(t.TempDir(), "home"), "PATH="+os.Getenv("PATH"))
	made := exec.CommandContext(t.Context(), program, "init", "--no-password")
	made.Env = slices.Clone(environment)
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	questions, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	av, err := os.StartProcess(program, []string{"av", "credential", "set", "KEY"},
		&os.ProcAttr{Env: environment, Files: []*os.File{tty, stderr, stderr}})
	if err != nil {
		t.Fatal(err)
	}
	_ = stderr.Close()
	t.Cleanup(func() {
		_ = av.Kill()
		_, _ = av.Wait()
		for _, f := range []io.Closer{keyboard, tty, questions} {
			_ = f.Close()
		}
	})
	said, err := bufio.NewReader(questions).ReadString(':') // "av: "
	if err != nil || said != "av:" {
		t.Fatalf("%q, %v", said, err)
	}
	return av.Pid
}

func TestNoProcessFindsTheMasterPasswordInTheEnvironmentBlock(t *testing.T) {
	require.Root(t) // for the environment of a process that is not dumpable
	const secret = "correct-horse-battery"
	pid := asked(t,
		"AV_MASTER_PASSWORD="+secret,
		"CONTROL="+secret, // what is not scrubbed is seen, by this same look
		"NOT_AV_MASTER_PASSWORD=kept",
		"AV_MASTER_PASSWORD=twice-"+secret,
		"AV_MASTER_PASSWORD_FILE=kept",
		"LAST=kept",
	)
	block, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(block, []byte(secret)); n != 1 {
		t.Errorf("the block holds the secret %d times, and 1 time is the control: %q", n, block)
	}
	for _, kept := range []string{"CONTROL=" + secret, "NOT_AV_MASTER_PASSWORD=kept", "AV_MASTER_PASSWORD_FILE=kept", "LAST=kept"} {
		if !bytes.Contains(block, []byte("\x00"+kept+"\x00")) {
			t.Errorf("%s is gone: %q", kept, block)
		}
	}
}

func TestChildrenDoNotInheritTheMasterPassword(t *testing.T) {
	program, err := exec.LookPath("av")
	if err != nil {
		t.Fatal(err)
	}
	environment := append(os.Environ(), "AV_HOME="+filepath.Join(t.TempDir(), "home"),
		"AV_MASTER_PASSWORD=correct-horse", "CONTROL=correct-horse")
	for _, args := range [][]string{{"init", "--no-password"}, {"run", "--", "env"}} {
		av := exec.CommandContext(t.Context(), program, args...)
		av.Env = environment
		var stderr strings.Builder
		av.Stderr = &stderr
		out, err := av.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, &stderr)
		}
		if args[0] != "run" {
			continue
		}
		if got := strings.Count(string(out), "correct-horse"); got != 1 || !strings.Contains(string(out), "CONTROL=correct-horse") {
			t.Errorf("%d times, and 1 time is the control: %s", got, out)
		}
	}
}

func TestEntriesOfAnEnvironmentBlockAreFoundByTheirWholeName(t *testing.T) {
	for block, want := range map[string][]span{
		"":                              nil,
		"A=1\x00":                       {{0, 3}},
		"A=":                            {{0, 2}},
		"A\x00AA=1\x00BA=1\x00B=A=\x00": nil,
		"B=\x00A=12\x00\x00A=\x00":      {{3, 4}, {9, 2}},
	} {
		if got := entries([]byte(block), "A"); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", block, got, want)
		}
	}
}

func TestStatThatCannotBeReadLeadsNowhere(t *testing.T) {
	stat := func(start, end string, more ...string) string {
		fields := slices.Repeat([]string{"0"}, statEnvEnd-1)
		return "7 (a) b) " + strings.Join(append(append(fields, start, end), more...), " ") + "\n"
	}
	if start, size, err := parseStat(stat("1000", "1200", "0", "0")); err != nil || start != 1000 || size != 200 {
		t.Fatalf("%d, %d, %v", start, size, err)
	}
	for name, bad := range map[string]string{
		"no place": stat("0", "0"), "the wrong way": stat("1300", "1200"), "no number": stat("x", "1200"),
		"no end": stat("1000", ""), "nothing": "",
	} {
		if start, size, err := parseStat(bad); err == nil {
			t.Errorf("%s: %d, %d", name, start, size)
		}
	}
}
