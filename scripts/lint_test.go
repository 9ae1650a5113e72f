//go:build linux

package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// withGo runs a script with a stand-in for go that says something and exits with a code.
func withGo(t *testing.T, says string, code int, script string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	stand := "#!/bin/bash\ncat <<'END'\n" + says + "\nEND\nexit " + strconv.Itoa(code) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(stand), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, args...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAVulnerabilityFailsTheLintAndAMissingDatabaseDoesNot(t *testing.T) {
	for _, c := range []struct {
		name, says string
		code       int
		passes     bool
		want       string
	}{
		{"nothing found", "No vulnerabilities found.", 0, true, "No vulnerabilities found."},
		{"one found", "Vulnerability #1: GO-2026-0001", 3, false, "GO-2026-0001"},
		{
			"no database", "govulncheck: fetching vulnerabilities: Get \"https://vuln.example\": no such host", 1, true,
			"lint: the vulnerability database cannot be reached; known vulnerabilities were not looked for",
		},
		{"sources that do not build", "govulncheck: loading packages: syntax error", 1, false, "syntax error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := withGo(t, c.says, c.code, "./vulncheck")
			if (err == nil) != c.passes || !strings.Contains(out, c.want) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestEveryFuzzTargetIsListedWithItsPackage(t *testing.T) {
	out, err := withGo(t, "FuzzA\nFuzzB\nok  \tav/one\t0.01s\n?   \tav/none\t[no test files]\nok  \tav/two\t0.01s\nFuzzC\nok  \tav/three\t0.01s",
		0, "./list-tests", "^Fuzz")
	if want := "av/one FuzzA\nav/one FuzzB\nav/three FuzzC\n"; err != nil || out != want {
		t.Errorf("%v, got %q, want %q", err, out, want)
	}
}

func TestAListThatCannotBeMadeFails(t *testing.T) {
	if out, err := withGo(t, "FAIL\tav/one [build failed]", 1, "./list-tests", "^Fuzz"); err == nil {
		t.Errorf("it succeeds:\n%s", out)
	}
}
