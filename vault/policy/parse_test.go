package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/av-project/av/vault/policy"
)

var comparable = cmpopts.EquateComparable(netip.AddrPort{})

const everything = `
# what the agent may use
services:
  - name: github
    host: API.GitHub.com
    auth: {type: bearer, token: GITHUB_TOKEN}
  - name: "1password"
    host: "vault.example:8443"
    auth:
      type: api-key
      key: OP_KEY
      header: X-Api-Key
      prefix: "Token "
    upstream: {address: "10.1.2.3:8443", ca: corp-ca.pem}
  - name: docs
    host: bücher.example
    auth: {type: passthrough}
`

func TestServicesFileIsRead(t *testing.T) {
	corp := certificatePEM(t)
	read := func(name string) ([]byte, error) {
		if name != "corp-ca.pem" {
			t.Errorf("asked for %q", name)
		}
		return []byte("a comment\n" + corp), nil
	}
	got, err := policy.Parse("services.yaml", []byte(everything), read)
	want := []policy.Service{
		{Name: "github", Host: "api.github.com", Auth: policy.Auth{Type: policy.Bearer, Token: "GITHUB_TOKEN"}},
		{Name: "1password", Host: "vault.example", Port: 8443,
			Auth:     policy.Auth{Type: policy.APIKey, Key: "OP_KEY", Header: "X-Api-Key", Prefix: "Token "},
			Upstream: policy.Upstream{Address: netip.MustParseAddrPort("10.1.2.3:8443"), CA: corp}},
		{Name: "docs", Host: "xn--bcher-kva.example", Auth: policy.Auth{Type: policy.Passthrough}},
	}
	if diff := cmp.Diff(want, got, comparable); err != nil || diff != "" {
		t.Fatalf("err %v\n%s", err, diff)
	}
	written, err := policy.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	// The certificate stands in the YAML now: no file is needed.
	again, err := policy.Parse("again", written, noFiles)
	if diff := cmp.Diff(got, again, comparable); err != nil || diff != "" {
		t.Fatalf("err %v\n%s\n%s", err, diff, written)
	}
}

func TestNoServicesHaveToBeSpelledOut(t *testing.T) {
	got, err := policy.Parse("f", []byte("services: []\n"), noFiles)
	if err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	if out, err := policy.Marshal(nil); err != nil || string(out) != "services: []\n" {
		t.Fatalf("%q, %v", out, err)
	}
}

// one is a services file with one service, which begins at line 2, column 5.
func one(lines ...string) string { return "services:\n  - " + strings.Join(lines, "\n    ") + "\n" }

func TestWhatCannotBeReadIsRefusedWithItsPlace(t *testing.T) {
	const name, host, auth = "name: a", "host: a.test", "auth: {type: bearer, token: KEY}"
	for _, c := range []struct{ src, want string }{
		{"", "1:1: the file is empty"},
		{"# nothing\n", "1:1: the file is empty"},
		{"\xff\xfe", "1:1: not valid UTF-8"},
		{"services:\n", "1:11: services is empty, want a list"},
		{"services: 3\n", "1:11: services is a number, want a list"},
		{"services: {a: b}\n", "1:11: services is a mapping, want a list"},
		{"- a\n", "1:1: the file is a list, want keys: services"},
		{"service: []\n", `1:1: unknown key "service" in the file`},
		{"services: []\nservices: []\n", `2:1: mapping key "services" already defined at [1:1]`},
		{"services: []\n---\nservices: []\n", "3:1: there is a second document"},
		{"services: [\n", "1:11: sequence end token ']' not found"},
		{"services:\n\t- a\n", "2:1: found character '\t' that cannot start any token"},
		{"services: &x []\n", "1:11: services is an anchor or alias, want a list"},
		{"services:\n  - just words\n", "2:5: a service is a string, want keys: name, host, auth, upstream"},
		{"services:\n  -\n", "2:5: a service is empty, want keys: name, host, auth, upstream"},
		{"<<: {a: b}\n", "1:1: a key of the file is an anchor or alias, want one of: services"},

		{one(host, auth), "2:5: a service has no name"},
		{one("name: 7", host, auth), "2:11: name is a number, want a string"},
		{one("name: true", host, auth), "2:11: name is a boolean, want a string"},
		{one("name: [a]", host, auth), "2:11: name is a list, want a string"},
		{one("name: !!str a", host, auth), "2:11: name is a tagged value, want a string"},
		{one("name: ''", host, auth), "2:11: name is empty"},
		{one("name: Git_Hub", host, auth), `2:11: bad service name "Git_Hub"`},
		{one("name: a-", host, auth), `2:11: bad service name "a-"`},
		{one(name, host, auth, "hots: b"), `5:5: unknown key "hots" in a service`},
		{one(name, host, auth, "methods: [GET]"), `5:5: "methods" is not supported by this version`},

		{one(name, auth), "2:5: a service has no host"},
		{one(name, `host: "*.a.test"`, auth), `3:11: host "*.a.test": wildcards are not supported by this version`},
		{one(name, "host: https://a.test", auth), `3:11: host "https://a.test" is a URL, want a host name`},
		{one(name, "host: a.test/v1", auth), `3:11: host "a.test/v1": paths are not supported by this version`},
		{one(name, "host: a.test:0", auth), `3:11: host: refusing "a.test:0": the port is not a number from 1 to 65535`},
		{one(name, "host: 127.1", auth), "3:11: host is a number, want a string"},
		{one(name, "host: 0x7f.1", auth), `3:11: host: refusing "0x7f.1": neither a name nor the usual spelling of an IPv4 address`},

		{one(name, host), "2:5: the service has no auth"},
		{one(name, host, "auth: bearer"), "4:11: auth is a string, want keys: type, token, key, header, prefix"},
		{one(name, host, "auth: {token: KEY}"), "4:11: auth has no type"},
		{one(name, host, "auth: {type: oauth}"), `4:18: unknown auth type "oauth"`},
		{one(name, host, "auth: {type: basic, username: A, password: B}"), `4:18: auth type "basic" is not supported by this version`},
		{one(name, host, "auth: {type: custom, headers: {}}"), `4:18: auth type "custom" is not supported by this version`},
		{one(name, host, "auth: {type: bearer}"), "4:11: auth has no token"},
		{one(name, host, "auth: {type: bearer, token: ghp_abc123}"), "4:33: token is not a credential key"},
		{one(name, host, "auth: {type: bearer, token: KEY, header: X}"), "4:46: auth type bearer has no header"},
		{one(name, host, "auth: {type: passthrough, token: KEY}"), "4:38: auth type passthrough has no token"},
		{one(name, host, "auth: {type: api-key, key: KEY}"), "4:11: auth has no header"},
		{one(name, host, "auth: {type: api-key, key: KEY, header: 'X Y'}"), `4:45: "X Y" is not a header name`},
		{one(name, host, "auth: {type: api-key, key: KEY, header: Transfer-Encoding}"), "4:45: a credential cannot go into Transfer-Encoding"},
		{one(name, host, "auth: {type: api-key, key: KEY, header: Proxy-Authorization}"), "4:45: a credential cannot go into Proxy-Authorization"},
		{one(name, host, `auth: {type: api-key, key: KEY, header: X, prefix: "a\r\nHost: b"}`), "4:56: prefix is longer than 128 characters or not printable ASCII"},

		{one(name, host, auth, "upstream: {}"), "5:15: upstream is empty"},
		{one(name, host, auth, "upstream: {adress: x}"), `5:16: unknown key "adress" in upstream`},
		{one(name, host, auth, "upstream: {address: 10.1.2.3}"), `5:25: bad address "10.1.2.3"`},
		{one(name, host, auth, `upstream: {address: "a.test:443"}`), `5:25: bad address "a.test:443"`},
		{one(name, host, auth, `upstream: {address: "10.1.2.3:0"}`), `5:25: bad address "10.1.2.3:0": port 0`},
		{one(name, host, auth, `upstream: {address: "[fe80::1%eth0]:1"}`), `5:25: bad address "[fe80::1%eth0]:1": it has a zone`},
		{one(name, host, auth, `upstream: {address: "169.254.169.254:80"}`), `5:25: address "169.254.169.254:80" is a cloud's metadata service, which hands out the machine's own credentials`},
		{one(name, host, auth, `upstream: {address: "[::ffff:169.254.169.254]:80"}`), `5:25: address "[::ffff:169.254.169.254]:80" is a cloud's metadata service, which hands out the machine's own credentials`},
		{one(name, host, auth, `upstream: {address: "0.0.0.0:443"}`), `5:25: bad address "0.0.0.0:443": it is not one host`},
		{one(name, host, auth, "upstream: {ca: missing.pem}"), "5:20: ca: open missing.pem: file does not exist"},
		{one(name, host, auth, "upstream: {ca: empty.pem}"), "5:20: ca: there is no PEM certificate"},
		{one(name, host, auth, "upstream: {ca: key.pem}"), `5:20: ca: there is a PEM block of type "PRIVATE KEY", want certificates alone`},

		{one(name, host, auth) + "  - name: a\n    host: b.test\n    auth: {type: passthrough}\n", `5:11: there are two services named "a"`},
		{one(name, host, auth) + "  - name: b\n    host: A.test.\n    auth: {type: passthrough}\n", `6:11: services "a" and "b" are both for a.test:443`},
	} {
		_, err := policy.Parse("services.yaml", []byte(c.src), func(name string) ([]byte, error) {
			switch name {
			case "empty.pem":
				return nil, nil
			case "key.pem":
				return []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), nil
			}
			return noFiles(name)
		})
		var e *policy.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: got %v, want a *policy.Error", c.src, err)
			continue
		}
		if e.Hint() == "" {
			t.Errorf("%q: no hint", c.src)
		}
		if got := strings.TrimPrefix(e.Error(), "services.yaml:"); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.src, got, c.want)
		}
	}
}

func TestSecretInPlaceOfItsNameIsNotRepeated(t *testing.T) {
	_, err := policy.Parse("f", []byte(one("name: a", "host: a.test", "auth: {type: bearer, token: sk-live-12345}")), noFiles)
	if err == nil || strings.Contains(err.Error(), "sk-live") {
		t.Fatalf("got %v", err)
	}
}

// The law: what Parse accepts, Marshal writes and Parse reads back to the same thing.
func FuzzMarshalIsReadBack(f *testing.F) {
	ca := certificatePEM(f)
	f.Add(everything, "corp-ca.pem")
	f.Add(one("name: 'null'", "host: 'yes'", `auth: {type: api-key, key: K, header: "X-'", prefix: "\" # \\ : {"}`), "")
	f.Add(one("name: a", "host: '[2001:db8::1]:80'", "auth: {type: passthrough}", "upstream: {address: '[::1]:80'}"), "")
	f.Add(one("name: a", "host: a", "auth: {type: bearer, token: NULL}", "upstream:", "  ca: |", "    "+strings.ReplaceAll(ca, "\n", "\n        ")), "")
	f.Add("services: [{name: a, host: b, auth: {type: bearer, token: ON}}]", "")
	f.Fuzz(func(t *testing.T, src, caFile string) {
		services, err := policy.Parse("f", []byte(src), func(name string) ([]byte, error) {
			if name == caFile {
				return []byte(ca), nil
			}
			return noFiles(name)
		})
		if err != nil {
			var e *policy.Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Fatalf("%q: error without a place: %v", src, err)
			}
			return
		}
		out, err := policy.Marshal(services)
		if err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		again, err := policy.Parse("f", out, noFiles)
		if diff := cmp.Diff(services, again, comparable, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%q became %q: %v\n%s", src, out, err, diff)
		}
		if _, err := policy.Compile(services, nil, policy.Deny); err != nil {
			t.Fatalf("%q does not compile: %v", src, err)
		}
	})
}

func noFiles(name string) ([]byte, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func certificatePEM(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corp"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
