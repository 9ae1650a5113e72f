package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// single is a services file with one service that has further lines.
func single(lines ...string) string {
	return "services:\n  - " + strings.Join(append(lines, "auth: {type: passthrough}"), "\n    ") + "\n"
}

// list is n entries of format, which may have a number in it, between brackets.
func list(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+", ", i)
	}
	return "[" + b.String() + "]"
}

func custom(headers string) string {
	return "services:\n  - {name: a, host: a.test, auth: {type: custom, headers: {" + headers + "}}}\n"
}

// Each bound of a services file is met from below, which passes, and gone over by one.
func TestServicesFileIsReadUpToItsCeilings(t *testing.T) {
	const substitution = "{key: KEY, placeholder: __p%d__}"
	headers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X-%d: '{{ A }}', ", i)
		}
		return custom(b.String())
	}
	prefix := func(n int) string {
		return "services:\n  - {name: a, host: a.test, auth: {type: api-key, key: KEY, prefix: '" + strings.Repeat("x", n) + "'}}\n"
	}
	placeholder := func(n int) string {
		return single("name: a", "host: a.test", "substitutions: [{key: KEY, placeholder: "+strings.Repeat("~", n-1)+"a}]")
	}
	path := func(n int) string { return single("name: a", "host: a.test", "path: /"+strings.Repeat("a", n-1)) }
	encoded := func(more string) string {
		return single("name: a", "host: a.test", "path: /"+strings.Repeat("é", maxPath/len("%C3%A9"))+more)
	}
	name := func(n int) string { return single("name: "+strings.Repeat("a", n), "host: a.test") }
	for what, c := range map[string]struct{ passes, fails, want string }{
		"bytes": {
			"services: []\n#" + strings.Repeat("x", maxFile-14), "services: []\n#" + strings.Repeat("x", maxFile-13), "the file is larger than 4 MiB"},
		"services": {
			"services: " + list(maxServices, "{host: h%d.test, auth: {type: passthrough}}"), "services: " + list(maxServices+1, "%d"), "more than 10000 services"},
		"substitutions": {
			single("name: a", "host: a.test", "substitutions: "+list(maxSubstitutions, substitution)),
			single("name: a", "host: a.test", "substitutions: "+list(maxSubstitutions+1, substitution)), "more than 32 substitutions"},
		"headers":             {headers(maxHeaders), headers(maxHeaders + 1), "more than 32 headers"},
		"a header's template": {custom("X-A: '" + strings.Repeat("x", maxTemplate) + "'"), custom("X-A: '" + strings.Repeat("x", maxTemplate+1) + "'"), "it is longer than 1024 characters"},
		"a prefix":            {prefix(maxPrefix), prefix(maxPrefix + 1), "prefix is longer than 128 characters"},
		"a placeholder":       {placeholder(maxPlaceholder), placeholder(maxPlaceholder + 1), "it is longer than 128 characters"},
		"a short placeholder": {placeholder(minPlaceholder), placeholder(minPlaceholder - 1), "it is shorter than 4 characters"},
		"a path":              {path(maxPath), path(maxPath + 1), "it is longer than 1024 characters"},
		"a path once encoded": {encoded("aaa"), encoded("aaaa"), "it is longer than 1024 characters"},
		"a name":              {name(maxServiceName), name(maxServiceName + 1), "bad service name"},
	} {
		if _, err := Parse("f", []byte(c.passes), nil); err != nil {
			t.Errorf("%s, at the ceiling: %v", what, err)
		}
		_, err := Parse("f", []byte(c.fails), nil)
		if _, ours := errors.AsType[*Error](err); !ours || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, one more: got %v, want %q", what, err, c.want)
		}
	}
}

func TestNestingOfAServicesFileIsBounded(t *testing.T) {
	for _, open := range []string{"[", "{", "- "} {
		const refused = "nested too deeply"
		if _, err := Parse("f", []byte(strings.Repeat(open, maxNesting)), nil); err == nil || strings.Contains(err.Error(), refused) {
			t.Errorf("%d of %q: %v", maxNesting, open, err)
		}
		if _, err := Parse("f", []byte(strings.Repeat(open, maxNesting+1)), nil); err == nil || !strings.Contains(err.Error(), refused) {
			t.Errorf("%d of %q: %v", maxNesting+1, open, err)
		}
	}
}

func TestCertificatesOfAServiceAreBounded(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for len(bundle) < maxCABundle {
		bundle = append(bundle, '\n')
	}
	src := []byte(single("name: a", "host: a.test", "upstream: {ca: corp.pem}"))
	got, err := Parse("f", src, func(string) ([]byte, error) { return bundle, nil })
	if err != nil || got[0].Upstream.CA == "" {
		t.Errorf("at the ceiling: %v", err)
	}
	_, err = Parse("f", src, func(string) ([]byte, error) { return append(bundle, '\n'), nil })
	if err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("one byte more: %v", err)
	}
}

// A request's target, what --allow is given, and a service's host have the same bounds.
func TestNameOfAHostIsBounded(t *testing.T) {
	labels := strings.Repeat("aaaaaaa.", 31) // 248
	label := strings.Repeat("a", maxLabel)
	for what, c := range map[string]struct{ passes, fails, want string }{
		"a name":     {labels + strings.Repeat("b", maxName-len(labels)), labels + strings.Repeat("b", maxName+1-len(labels)), "the name is longer than 253 characters"},
		"a label":    {label + ".test", label + "a.test", "a part of the name is longer than 63 characters"},
		"a wildcard": {"*." + (labels + labels)[:maxName-3] + "b", "*." + (labels + labels)[:maxName-2] + "b", "the name is longer than 253 characters"},
	} {
		read := func(s string) (err error) {
			if strings.HasPrefix(s, wildcard) {
				_, err = ParseHostPattern(s)
				return err
			}
			_, err = ParseTarget(s, DefaultPort)
			return err
		}
		if err := read(c.passes); err != nil {
			t.Errorf("%s, at the ceiling: %v", what, err)
		}
		if err := read(c.fails); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, one more: got %v, want %q", what, err, c.want)
		}
	}
	// What is too long to be a name in any script is not looked at, nor repeated.
	const unread = "longer than any name"
	if _, err := ParseTarget(strings.Repeat("a", maxTarget), DefaultPort); err == nil || strings.Contains(err.Error(), unread) {
		t.Errorf("%d bytes: %v", maxTarget, err)
	}
	if _, err := ParseTarget(strings.Repeat("a", maxTarget+1), DefaultPort); err == nil || !strings.Contains(err.Error(), unread) {
		t.Errorf("%d bytes: %v", maxTarget+1, err)
	}
}

func TestServicesWithoutNamesGetNamesWithinTheBounds(t *testing.T) {
	taken := map[string]bool{}
	for _, host := range []string{strings.Repeat("a", maxServiceName), strings.Repeat("a", maxServiceName+1)} {
		name := freeName(Service{Host: host}, taken)
		if len(name) != maxServiceName || !ValidName(name) || taken[name] {
			t.Errorf("%q", name)
		}
		taken[name] = true
	}
	for host, want := range map[string]string{"abc": "abc", "ab": "ab-svc"} {
		if got := freeName(Service{Host: host}, taken); got != want {
			t.Errorf("%s is named %s, want %s", host, got, want)
		}
	}
}

// An agent writes paths. One that can be read in more ways is work for each of them.
func TestReadingsOfAPathAreBounded(t *testing.T) {
	at := "/" + strings.Repeat("a", maxAmbiguous-3) + "//"
	if len(at) != maxAmbiguous || len(readings(at)) != 2 {
		t.Errorf("%d bytes have %d readings", len(at), len(readings(at)))
	}
	if n := len(readings("/a" + at[1:])); n != 0 {
		t.Errorf("one byte more has %d readings", n)
	}
	if n := len(readings("/a" + strings.Repeat("a", 2*maxAmbiguous))); n != 1 {
		t.Errorf("control: a path with one reading has %d", n)
	}
	if n := len(readings(`/ab%253b//./\`)); n != maxReadings {
		t.Errorf("a path at the ceiling has %d readings", n)
	}
	// What could be read in more ways is read in none, though each part of it could be.
	if n := len(readings(`/ab%253b//./\/;x`)); n != 0 {
		t.Errorf("a path above the ceiling has %d readings", n)
	}
	if n := len(readings(`/ab%253b/;x`)); n == 0 {
		t.Error("control: a part of it cannot be read")
	}
}

func TestTextOfASizeIsReadUpToItsCeiling(t *testing.T) {
	size := func(n int) string { return "1." + strings.Repeat("0", n-len("1.MB")) + "MB" }
	if n, err := ParseSize(size(maxSize)); err != nil || n != 1e6 {
		t.Errorf("at the ceiling: %d, %v", n, err)
	}
	if _, err := ParseSize(size(maxSize + 1)); err == nil || !strings.Contains(err.Error(), "it is too long") {
		t.Errorf("one more: %v", err)
	}
}
