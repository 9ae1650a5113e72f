package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

// start runs the command and returns what it prints; end closes its input and waits for it.
func start(t *testing.T, args ...string) (out *bufio.Reader, end func() int) {
	t.Helper()
	require.Root(t)
	require.Net(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // its turn may be long in coming
	t.Cleanup(cancel)
	stdin, closeInput := io.Pipe()
	stdout, stdoutWriter := io.Pipe()
	done := make(chan int, 1)
	go func() {
		code := run(ctx, append(args, "-until-eof"), stdin, stdoutWriter, io.Discard)
		stdoutWriter.Close()
		done <- code
	}()
	end = func() int {
		closeInput.Close()
		io.Copy(io.Discard, stdout) // the last lines have to go somewhere
		return <-done
	}
	return bufio.NewReader(stdout), end
}

func knock(t *testing.T, payload string) {
	t.Helper()
	conn, err := net.Dial("udp", "203.0.113.66:123")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// find reads lines until one holds what is looked for.
func find(t *testing.T, out *bufio.Reader, want string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := out.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			t.Fatalf("no line with %q: %v\n%s", want, err, all.String())
		}
		if strings.Contains(line, want) {
			return line
		}
	}
}

func TestItSaysWhereThingsAreAndWhatArrives(t *testing.T) {
	ca := t.TempDir() + "/ca.pem"
	out, end := start(t, "-ca", ca)
	find(t, out, `api   https://api.vendor.test at 203.0.113.10, wants "Authorization: Bearer fake-`)
	find(t, out, "ca    "+ca)
	cert, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(cert); block == nil || block.Type != "CERTIFICATE" {
		t.Errorf("the CA is written as %q", cert)
	}
	knock(t, "hello there")
	if line := find(t, out, "hello there"); !strings.Contains(line, " udp  203.0.113.1:") ||
		!strings.Contains(line, ` -> 203.0.113.66:123 "hello there"`) {
		t.Errorf("it prints %q", line)
	}
	if code := end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestItPrintsJSONLines(t *testing.T) {
	out, end := start(t, "-json")
	var first struct{ API, Secret string }
	if err := json.Unmarshal([]byte(find(t, out, "")), &first); err != nil || first.API != "https://api.vendor.test" || first.Secret == "" {
		t.Errorf("%+v, %v", first, err)
	}
	knock(t, "hello there")
	var event struct{ Kind, To, Payload string }
	if err := json.Unmarshal([]byte(find(t, out, "hello there")), &event); err != nil {
		t.Error(err)
	}
	if event.Kind != "udp" || event.To != "203.0.113.66:123" || event.Payload != "hello there" {
		t.Errorf("%+v", event)
	}
	if code := end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestItTakesNoArguments(t *testing.T) {
	var complaint bytes.Buffer
	code := run(t.Context(), []string{"now"}, strings.NewReader(""), io.Discard, &complaint)
	if code != 2 || complaint.String() != "fakenet: error: takes no arguments, was given [\"now\"]\n" {
		t.Errorf("exit code %d, %q", code, complaint.String())
	}
}
