package policy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/av-project/av/vault/policy"
)

// The law: what Parse accepts, Marshal writes and Parse reads back to the same thing. And
// whatever the text is, Parse answers, with a place where it refuses.
func FuzzServicesRoundTrip(f *testing.F) {
	ca := certificatePEM(f)
	f.Add(everything, "corp-ca.pem")
	for _, file := range []string{"testdata/agent-vault.yaml", "testdata/agent-vault-list.yaml"} {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src), "")
	}
	f.Add(one("name: 'null'", "host: 'yes'", `auth: {type: api-key, key: K, header: "X-'", prefix: "\" # \\ : {"}`), "")
	f.Add(one("name: a", "host: '[2001:db8::1]:80/x%2fy'", "auth: {type: passthrough}", "upstream: {address: '[::1]:80'}"), "")
	f.Add(one("name: a", "host: a", "auth: {type: bearer, token: NULL}", "upstream:", "  ca: |", "    "+strings.ReplaceAll(ca, "\n", "\n        ")), "")
	f.Add(one("host: '*.a.b/ü/{x}*%41'", "methods: [get, Put]", "auth: {type: custom, headers: {'*': '{{A}}', '!': 7, 'Null': ~}}"), "")
	f.Add("services: [{name: a, host: b, auth: {type: bearer, token: ON}}]", "")
	f.Add(one("host: a.test", "auth: {type: passthrough}", "tls: passthrough"), "")
	f.Add(one("host: a.test", "auth: {type: passthrough}", "tls: passthrough", "max_bytes_out: 1.5 MiB"), "")
	f.Add(one("host: a.test", "auth: {type: passthrough}", "max_bytes_out: 7"), "")
	f.Fuzz(func(t *testing.T, src, caFile string) {
		services, err := policy.Parse("f", []byte(src), func(name string) ([]byte, error) {
			if name == caFile {
				return []byte(ca), nil
			}
			return noFiles(name)
		})
		if err != nil {
			placed(t, src, err)
			return
		}
		readBack(t, src, services)
	})
}

// The same from services that no text was there for: what a command makes of its flags.
func FuzzServicesMadeOfBytesRoundTrip(f *testing.F) {
	f.Add([]byte("\x01\x02\x03api.github.com\x00/repos/*\x00GITHUB_TOKEN\x00X-Key\x00__a__\x00"))
	f.Add([]byte("\xff\x10\x0a*.a.test\x00/%41/*/b\x00K\x00X\x00~a~\x00"))
	f.Add([]byte("\x83\x7f\x02\"'#: {}[]&*!|>%@`\x00/\x00KEY\x00on\x00{{ A }}\x00"))
	f.Add([]byte("\x84\x01\x00a.test\x00\x00\x05\x14b.test"))
	f.Fuzz(func(t *testing.T, b []byte) {
		services := servicesOf(b)
		out, err := policy.Marshal(services)
		if err != nil {
			t.Fatal(err)
		}
		read, err := policy.Parse("f", out, noFiles)
		if err != nil {
			if policy.Validate(services) == nil {
				t.Fatalf("validated, and not readable: %v\n%s", err, out)
			}
			return
		}
		valid := policy.Validate(services) == nil
		same := cmp.Equal(services, read, comparable, cmpopts.EquateEmpty())
		if valid && !same {
			t.Fatalf("validated, and read back otherwise\n%s\n%s", out, cmp.Diff(services, read, comparable, cmpopts.EquateEmpty()))
		}
		readBack(t, string(out), read)
	})
}

func placed(t *testing.T, src string, err error) {
	t.Helper()
	var e *policy.Error
	if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Message == "" || e.Hint() == "" {
		t.Fatalf("%q: error without a place or a hint: %v", src, err)
	}
}

func readBack(t *testing.T, src string, services []policy.Service) {
	t.Helper()
	out, err := policy.Marshal(services)
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	again, err := policy.Parse("f", out, noFiles)
	if diff := cmp.Diff(services, again, comparable, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Fatalf("%q became %q: %v\n%s", src, out, err, diff)
	}
	if err := policy.Validate(services); err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	set, err := policy.Compile(services, nil, policy.Deny)
	if err != nil {
		t.Fatalf("%q does not compile: %v", src, err)
	}
	for _, s := range services {
		if s.Disabled {
			continue
		}
		for _, key := range s.Keys() {
			if !policy.ValidKey(key) || !set.Uses(key) {
				t.Fatalf("%q: key %q of %s", src, key, s.Name)
			}
		}
	}
}

// servicesOf makes up to eight services of bytes: three choose the shape, and then texts
// follow, each up to a NUL.
func servicesOf(b []byte) (services []policy.Service) {
	next := func() (c byte) {
		if len(b) > 0 {
			c, b = b[0], b[1:]
		}
		return c
	}
	text := func() string {
		i := slices.Index(b, 0)
		if i < 0 {
			i = len(b)
		}
		s := string(b[:i])
		b = b[min(i+1, len(b)):]
		return s
	}
	types := []policy.AuthType{policy.Bearer, policy.Basic, policy.APIKey, policy.Custom, policy.Passthrough}
	surfaces := []policy.Surface{policy.InPath, policy.InQuery, policy.InHeader, policy.InBody, policy.InWebSocket}
	for i := 0; i < 8 && (len(b) > 0 || i == 0); i++ {
		shape, port, more := next(), next(), next()
		s := policy.Service{Name: fmt.Sprint("s", i), Host: text(), Path: text(), Disabled: shape&0x40 != 0}
		if port > 0x80 {
			s.Port = uint16(port)
		}
		for bit, method := range []string{"DELETE", "GET", "POST"} {
			if more&(1<<bit) != 0 {
				s.Methods = append(s.Methods, method)
			}
		}
		switch s.Auth.Type = types[int(shape&7)%len(types)]; s.Auth.Type {
		case policy.Bearer:
			s.Auth.Token = text()
		case policy.Basic:
			s.Auth.Username, s.Auth.Password = text(), text()
		case policy.APIKey:
			s.Auth.Key, s.Auth.Header, s.Auth.Prefix = text(), text(), text()
		case policy.Custom:
			for range 1 + more>>6 {
				s.Auth.Headers = append(s.Auth.Headers, policy.Header{Name: text(), Value: text()})
			}
		}
		if shape&0x08 != 0 {
			sub := policy.Substitution{Key: text(), Placeholder: text()}
			for bit, surface := range surfaces {
				if port&(1<<bit) != 0 {
					sub.In = append(sub.In, surface)
				}
			}
			s.Substitutions = append(s.Substitutions, sub)
		}
		if shape&0x10 != 0 {
			s.Upstream.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, more}), uint16(port))
		}
		if shape&0x20 != 0 {
			s.TLS = policy.TLSPassthrough
		}
		if shape&0x80 != 0 { // negative ones too, which have to be refused
			s.MaxBytesOut = int64(next()) << (next() % 64)
		}
		services = append(services, s)
	}
	return services
}
