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

const serviceKeys = "name, host, path, port, enabled, methods, auth, substitutions, upstream, tls, max_bytes_out"

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
		{"- a\n", "1:1: the file is a list, want keys: services, vault"},
		{"service: []\n", `1:1: unknown key "service" in the file`},
		{"services: []\nservices: []\n", `2:1: mapping key "services" already defined at [1:1]`},
		{"services: []\n---\nservices: []\n", "3:1: there is a second document"},
		{"services: [\n", "1:11: sequence end token ']' not found"},
		{"services:\n\t- a\n", "2:1: found character '\t' that cannot start any token"},
		{"services: &x []\n", "1:11: services is an anchor or alias, want a list"},
		{"services:\n  - just words\n", "2:5: a service is a string, want keys: " + serviceKeys},
		{"services:\n  -\n", "2:5: a service is empty, want keys: " + serviceKeys},
		{"<<: {a: b}\n", "1:1: a key of the file is an anchor or alias, want one of: services, vault"},

		{one("name: 7", host, auth), "2:11: name is a number, want a string"},
		{one("name: true", host, auth), "2:11: name is a boolean, want a string"},
		{one("name: [a]", host, auth), "2:11: name is a list, want a string"},
		{one("name: !!str a", host, auth), "2:11: name is a tagged value, want a string"},
		{one("name: ''", host, auth), "2:11: name is empty"},
		{one("name: Git_Hub", host, auth), `2:11: bad service name "Git_Hub"`},
		{one("name: a-", host, auth), `2:11: bad service name "a-"`},
		{one(name, host, auth, "hots: b"), `5:5: unknown key "hots" in a service`},

		{one(name, host, auth, "enabled: 1"), "5:14: enabled is a number, want true or false"},
		{one(name, host, auth, "enabled: 'no'"), "5:14: enabled is a string, want true or false"},
		{one(name, host, auth, "methods: GET"), "5:14: methods is a string, want a list"},
		{one(name, host, auth, "methods: []"), "5:14: methods is an empty list"},
		{one(name, host, auth, "methods: [GET, FETCH]"), `5:20: unknown method "FETCH"`},
		{one(name, host, auth, "methods: [CONNECT]"), `5:15: unknown method "CONNECT"`},
		{one(name, host, auth, "methods: [TRACE]"), `5:15: unknown method "TRACE"`},
		{one(name, host, auth, "methods: [GET, get]"), "5:20: method GET stands twice"},
		{one(name, host, auth, "methods: [3]"), "5:15: a method is a number, want a string"},

		{one(name, auth), "2:5: a service has no host"},
		{one(name, "host: '*'", auth), `3:11: host: refusing "*": it matches every host`},
		{one(name, "host: '*.*'", auth), `3:11: host: refusing "*.*": it matches every host`},
		{one(name, "host: '*:443'", auth), `3:11: host: refusing "*:443": a wildcard stands for the whole first label and nothing else`},
		{one(name, "host: 'api.*.test'", auth), `3:11: host: refusing "api.*.test": a wildcard stands for the whole first label and nothing else`},
		{one(name, "host: 'api*.a.test'", auth), `3:11: host: refusing "api*.a.test": a wildcard stands for the whole first label and nothing else`},
		{one(name, "host: '*.10.0.0.1'", auth), `3:11: host: refusing "*.10.0.0.1": an address has no labels for a wildcard`},
		{one(name, "host: '*.com'", auth), `3:11: host: refusing "*.com": anybody can register a name below com`},
		{one(name, "host: '*.co.uk'", "auth: {type: passthrough}"), `3:11: host: refusing "*.co.uk": anybody can register a name below co.uk`},
		{one(name, "host: '*.atlassian.net'", auth), `3:11: host: refusing "*.atlassian.net": the hosts below atlassian.net belong to different customers`},
		{one(name, "host: '*.github.io'", auth), `3:11: host: refusing "*.github.io": the hosts below github.io belong to different customers`},
		{one(name, "host: /v1", auth), `3:11: host: refusing "": there is no host name`},
		{one(name, "host: a.test/*/**", auth), `3:11: path: refusing "/*/**": ** is not supported`},
		{one(name, "host: a.test/a?b", auth), "3:11: path: refusing \"/a?b\": it has a space or one of [ ] | < > \" ; \\ ? #"},
		{one(name, "host: a.test/a%3Fb", auth), "3:11: path: refusing \"/a%3Fb\": it has one of ; \\ ? # encoded, which servers read in different ways"},
		{one(name, "host: a.test/a%zz", auth), `3:11: path: refusing "/a%zz": a % is not followed by two hexadecimal digits`},
		{one(name, "host: a.test/a%252e", auth), `3:11: path: refusing "/a%252e": it is encoded twice`},
		{one(name, "host: a.test/a%00", auth), `3:11: path: refusing "/a%00": it has a control character, or is not UTF-8`},
		{one(name, "host: a.test/a%C0%AF", auth), `3:11: path: refusing "/a%C0%AF": it has a control character, or is not UTF-8`},
		{one(name, "host: a.test/a//b", auth), `3:11: path: refusing "/a//b": it has an empty segment, or one of dots or blanks, which servers resolve`},
		{one(name, "host: a.test/a/.../b", auth), `3:11: path: refusing "/a/.../b": it has an empty segment, or one of dots or blanks, which servers resolve`},
		{one(name, "host: a.test/a/..%20/b", auth), `3:11: path: refusing "/a/..%20/b": it has an empty segment, or one of dots or blanks, which servers resolve`},
		{one(name, "host: a.test/a/%2e%2e/b", auth), `3:11: path: refusing "/a/%2e%2e/b": it has an empty segment, or one of dots or blanks, which servers resolve`},
		{one(name, "host: a.test/"+strings.Repeat("a", 1024), auth), `3:11: path: refusing "/` + strings.Repeat("a", 79) + `"...: it is longer than 1024 characters`},
		{one(name, "host: a.test/"+strings.Repeat("a", 4096), auth), "3:11: host is 4103 bytes: longer than any name and path"},
		{one(name, host, "path: v1", auth), `4:11: path: refusing "v1": it does not begin with /`},
		{one(name, host, "path: '*'", auth), `4:11: path: refusing "*": it matches every path`},
		{one(name, host, "path: ''", auth), "4:11: path is empty"},
		{one(name, "host: a.test/a", "path: /b", auth), "4:11: the host has a path already"},
		{one(name, "host: a.test:80", "port: 80", auth), "4:11: the host has a port already"},
		{one(name, host, "port: '80'", auth), "4:11: port is a string, want a number"},
		{one(name, host, "port: 0", auth), "4:11: the port is not a number from 1 to 65535"},
		{one(name, host, "port: 65536", auth), "4:11: the port is not a number from 1 to 65535"},
		{one(name, host, "port: 0x50", auth), "4:11: the port is not a number from 1 to 65535"},
		{one(name, host, "port: -1", auth), "4:11: the port is not a number from 1 to 65535"},
		{one(name, "host: https://a.test", auth), `3:11: host "https://a.test" is a URL, want a host name`},
		{one(name, "host: a.test:0", auth), `3:11: host: refusing "a.test:0": the port is not a number from 1 to 65535`},
		{one(name, "host: 127.1", auth), "3:11: host is a number, want a string"},
		{one(name, "host: 0x7f.1", auth), `3:11: host: refusing "0x7f.1": neither a name nor the usual spelling of an IPv4 address`},

		{one(name, host), "2:5: the service has no auth"},
		{one(name, host, "auth: bearer"), "4:11: auth is a string, want keys: type, token, username, password, key, header, prefix, headers"},
		{one(name, host, "auth: {token: KEY}"), "4:11: auth has no type"},
		{one(name, host, "auth: {type: oauth}"), `4:18: unknown auth type "oauth"`},
		{one(name, host, "auth: {type: bearer}"), "4:11: auth has no token"},
		{one(name, host, "auth: {type: bearer, token: ghp_abc123}"), "4:33: token is not a credential key"},
		{one(name, host, "auth: {type: bearer, token: KEY, header: X}"), "4:46: auth type bearer has no header"},
		{one(name, host, "auth: {type: passthrough, token: KEY}"), "4:38: auth type passthrough has no token"},
		{one(name, host, "auth: {type: api-key, key: KEY, header: 'X Y'}"), `4:45: "X Y" is not a header name`},
		{one(name, host, "auth: {type: api-key, key: KEY, header: Transfer-Encoding}"), "4:45: a credential cannot go into Transfer-Encoding"},
		{one(name, host, "auth: {type: api-key, key: KEY, header: Proxy-Authorization}"), "4:45: a credential cannot go into Proxy-Authorization"},
		{one(name, host, `auth: {type: api-key, key: KEY, header: X, prefix: "a\r\nHost: b"}`), "4:56: prefix is longer than 128 characters or not printable ASCII"},

		{one(name, host, "auth: {type: basic}"), "4:11: auth has no username"},
		{one(name, host, "auth: {type: basic, password: B}"), "4:11: auth has no username"},
		{one(name, host, "auth: {type: basic, username: me@a.test}"), "4:35: username is not a credential key"},
		{one(name, host, "auth: {type: basic, username: A, token: B}"), "4:45: auth type basic has no token"},
		{one(name, host, "auth: {type: custom}"), "4:11: auth has no headers"},
		{one(name, host, "auth: {type: custom, headers: {}}"), "4:35: headers is empty"},
		{one(name, host, "auth: {type: custom, headers: [X]}"), "4:35: headers is a list, want names and values"},
		{one(name, host, "auth: {type: custom, headers: {Host: '{{ A }}'}}"), "4:36: a credential cannot go into Host"},
		{one(name, host, "auth: {type: custom, headers: {Transfer_Encoding: '{{ A }}'}}"), "4:36: a credential cannot go into Transfer_Encoding"},
		{one(name, host, "auth: {type: custom, headers: {'X Y': '{{ A }}'}}"), `4:36: "X Y" is not a header name`},
		{one(name, host, "auth: {type: custom, headers: {7: '{{ A }}'}}"), "4:36: a header's name is a number, want a string"},
		{one(name, host, "auth: {type: custom, headers: {X-Key: '{{ A }}', x_key: '{{ B }}'}}"), "4:54: headers X-Key and x_key are the same to some servers"},
		{one(name, host, "auth: {type: custom, headers: {X-Key: '{{ a }}'}}"), "4:43: header X-Key: it has {{ or }} that are not around a credential key"},
		{one(name, host, "auth: {type: custom, headers: {X-Key: 'sk-live-1'}}"), "4:43: header X-Key has a value of its own, and a services file holds no secrets"},
		{one(name, host, "auth: {type: custom, headers: {Cookie: 'a=b'}}"), "4:44: header Cookie has a value of its own, and a services file holds no secrets"},
		{one(name, host, "auth: {type: custom, headers: {X-Team: ''}}"), "4:44: header X-Team is empty"},
		{one(name, host, "auth: {type: custom, headers: {X-Team: ~}}"), "4:44: header X-Team is empty, want a string"},
		{one(name, host, `auth: {type: custom, headers: {X-Team: "a\nb"}}`), "4:44: header X-Team: it is longer than 1024 characters or not printable ASCII"},

		{one(name, host, auth, "substitutions: {}"), "5:20: substitutions is a mapping, want a list"},
		{one(name, host, auth, "substitutions: [{placeholder: __a__}]"), "5:21: a substitution has no key"},
		{one(name, host, auth, "substitutions: [{key: KEY}]"), "5:21: a substitution has no placeholder"},
		{one(name, host, auth, "substitutions: [{key: key, placeholder: __a__}]"), "5:27: key is not a credential key"},
		{one(name, host, auth, "substitutions: [{key: KEY, placeholder: account_sid}]"), "5:45: bad placeholder: it could be a word of a real path: it has neither __ nor a character outside A-Z a-z 0-9 _"},
		{one(name, host, auth, "substitutions: [{key: KEY, placeholder: __a__, in: [cookie]}]"), `5:57: unknown surface "cookie"`},
		{one(name, host, auth, "substitutions: [{key: KEY, placeholder: __a__, in: [path, path]}]"), "5:63: surface path stands twice"},
		{one(name, host, auth, "substitutions: [{key: KEY, placeholder: __a__}, {key: KEY, placeholder: __a__}]"), "5:77: bad placeholder: an earlier substitution has the same"},
		{one(name, host, auth, "substitutions: [{key: KEY, placeholder: __a__b}, {key: KEY, placeholder: __a__}]"), "5:78: bad placeholder: it is part of an earlier one"},
		{one(name, host, auth, "substitutions: [{key: KEY, placeholder: __a__}, {key: KEY, placeholder: __a__b}]"), "5:77: bad placeholder: an earlier one is part of it"},
		{one(name, host, auth, "substitutions: ["+strings.Repeat("{key: KEY, placeholder: __a__},", 33)+"]"), "5:20: more than 32 substitutions"},
		{one(name, "host: '*.github.io'", "auth: {type: passthrough}", "substitutions: [{key: KEY, placeholder: __a__}]"),
			`3:11: host: refusing "*.github.io": the hosts below github.io belong to different customers`},

		{one(name, host, auth, "upstream: {}"), "5:15: upstream is empty"},
		{one(name, host, auth, "upstream: {adress: x}"), `5:16: unknown key "adress" in upstream`},
		{one(name, host, auth, "upstream: {address: 10.1.2.3}"), `5:25: bad address "10.1.2.3"`},
		{one(name, host, auth, `upstream: {address: "a.test:443"}`), `5:25: bad address "a.test:443"`},
		{one(name, host, auth, `upstream: {address: "10.1.2.3:0"}`), `5:25: bad address "10.1.2.3:0": port 0`},
		{one(name, host, auth, `upstream: {address: "[fe80::1%eth0]:1"}`), `5:25: bad address "[fe80::1%eth0]:1": it has a zone`},
		{one(name, host, auth, `upstream: {address: "169.254.169.254:80"}`), `5:25: bad address "169.254.169.254:80": it is a cloud's metadata service, which hands out the machine's own credentials`},
		{one(name, host, auth, `upstream: {address: "[::ffff:169.254.169.254]:80"}`), `5:25: bad address "[::ffff:169.254.169.254]:80": it is a cloud's metadata service, which hands out the machine's own credentials`},
		{one(name, host, auth, `upstream: {address: "0.0.0.0:443"}`), `5:25: bad address "0.0.0.0:443": it is not one host`},
		{one(name, host, auth, "upstream: {ca: missing.pem}"), "5:20: ca: open missing.pem: file does not exist"},
		{one(name, host, auth, "upstream: {ca: empty.pem}"), "5:20: ca: there is no PEM certificate"},
		{one(name, host, auth, "upstream: {ca: key.pem}"), `5:20: ca: there is a PEM block of type "PRIVATE KEY", want certificates alone`},

		{one(name, host, auth) + "  - name: a\n    host: b.test\n    auth: {type: passthrough}\n", `5:11: there are two services named "a"`},
		{one(name, host, auth) + "  - name: b\n    host: A.test.\n    auth: {type: passthrough}\n", `6:11: services "a" and "b" are both for a.test:443`},
		{one(name, "host: a.test/x", auth, "methods: [PUT, GET]") + "  - name: b\n    host: a.test\n    path: /x\n    methods: [GET, PUT]\n    auth: {type: passthrough}\n",
			`7:11: services "a" and "b" are both for GET, PUT a.test:443/x`},
		{"services: " + strings.Repeat("[", 200_000), "1:1: lists and mappings are nested too deeply"},
		{"services: " + strings.Repeat("- ", 200_000), "1:1: lists and mappings are nested too deeply"},
		{"services: [" + strings.Repeat("a,", 10_001) + "]", "1:11: more than 10000 services"},
		{strings.Repeat("#", 4<<20+1), "1:1: the file is larger than 4 MiB"},
		{"vault: [a]\nservices: []\n", "1:8: vault is a list, want a string"},
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

func TestServicesThatDifferInOneThingStandTogether(t *testing.T) {
	same := "\n    auth: {type: passthrough}\n"
	src := "services:\n  - name: a\n    host: a.test" + same + "  - name: b\n    host: a.test:80" + same + "  - name: c\n    host: a.test/x" + same +
		"  - name: d\n    host: a.test\n    methods: [GET]" + same + "  - name: e\n    host: a.test\n    enabled: false" + same
	got, err := policy.Parse("f", []byte(src), noFiles)
	if err != nil || len(got) != 5 {
		t.Fatalf("%d services, %v", len(got), err)
	}
	if err := policy.Validate(got); err != nil {
		t.Fatal(err)
	}
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
