package catalog

import (
	"strings"
	"testing"
)

const wellMade = `category: x
entries:
  - name: a
    title: A
    key_url: https://a.test
    credentials: [{key: A_KEY}]
    parameters: [{name: tenant, example: acme}]
    services:
      - name: a
        host: "{tenant}.a.test"
        auth: {type: bearer, token: A_KEY}
`

func TestDataIsReadStrictly(t *testing.T) {
	if entries, err := readEntries([]byte(wellMade)); err != nil || len(entries) != 1 || entries[0].Services[0].Host != "{tenant}.a.test" {
		t.Fatalf("%+v, %v", entries, err)
	}
	for old, c := range map[string]struct{ is, want string }{
		"title: A":                     {"titel: A", "titel"},
		"key: A_KEY":                   {"key: A_KEY, hosts: [evil.test]", "hosts"},
		"name: tenant":                 {"name: shop", "{tenant} and no such parameter"},
		"{type: bearer, token: A_KEY}": {"{type: bearer, token: a-key}", "credential key"},
		"host: \"{tenant}.a.test\"":    {"host: https://a.test", "a.test"},
		"    services:":                {"    reads: true\n    read_only: []\n    services:", "reads and read_only"},
	} {
		_, err := readEntries([]byte(strings.Replace(wellMade, old, c.is, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.is, err, c.want)
		}
	}
	for _, host := range []string{"https://a.test", "*.a.test", ""} {
		if _, err := readPresets([]byte("presets:\n  - name: a\n    title: A\n    allow: [\"" + host + "\"]\n")); err == nil {
			t.Errorf("allow %q: accepted", host)
		}
	}
}

// The parser folds case; people who copy a host from the file do not.
func TestHostsInTheDataAreInLowerCase(t *testing.T) {
	hosts := 0
	files, err := data.ReadDir("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		src, err := data.ReadFile("data/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(src)) {
			host, ok := strings.CutPrefix(strings.TrimSpace(line), "host: ")
			if !ok {
				continue
			}
			hosts++
			if host != strings.ToLower(host) {
				t.Errorf("%s: %s", file.Name(), host)
			}
		}
	}
	if hosts < 100 {
		t.Errorf("%d hosts", hosts)
	}
}
