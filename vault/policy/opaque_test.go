package policy_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func TestPassthroughOfTLSIsReadAndWritten(t *testing.T) {
	src := one("name: pinned", "host: '*.pinned.test:8443'", "auth: {type: passthrough}", "upstream: {address: '10.0.0.1:443'}", "tls: passthrough")
	services, err := policy.Parse("f", []byte(src), noFiles)
	if err != nil || !services[0].Opaque() {
		t.Fatalf("%+v, %v", services, err)
	}
	readBack(t, src, services)
	set, err := policy.Compile(services, nil, policy.Deny)
	if err != nil {
		t.Fatal(err)
	}
	if v := set.Reach(policy.Target{Host: "a.pinned.test", Port: 8443}); !v.Allow || !v.Service.Opaque() {
		t.Errorf("%+v", v)
	}
	if github.Opaque() {
		t.Error("a service without tls is opaque")
	}
}

// What the file says about requests would not be done, and who wrote it would think
// that it is.
func TestPassthroughOfTLSSaysNothingAboutRequests(t *testing.T) {
	ca := "upstream: {ca: " + strconv.Quote(certificatePEM(t)) + "}"
	for want, lines := range map[string][]string{
		"nothing can be added":          {"host: a.test", "auth: {type: bearer, token: K}"},
		"nothing can be replaced":       {"host: a.test", "auth: {type: passthrough}", "substitutions: [{key: K, placeholder: __k__, in: [path]}]"},
		"there is no method":            {"host: a.test", "auth: {type: passthrough}", "methods: [GET]"},
		"there is no path":              {"host: a.test/x", "auth: {type: passthrough}"},
		"it is the client":              {"host: a.test", "auth: {type: passthrough}", ca},
		"cannot say an address":         {"host: 192.0.2.1", "auth: {type: passthrough}"},
		`unknown tls "open"`:            {"host: a.test", "auth: {type: passthrough}", "tls: open"},
		"tls is empty":                  {"host: a.test", "auth: {type: passthrough}", "tls: ''"},
		"tls is a boolean":              {"host: a.test", "auth: {type: passthrough}", "tls: true"},
		`key "tls" already defined`:     {"host: a.test", "auth: {type: passthrough}", "tls: passthrough", "tls: passthrough"},
		"one of them has tls: passthro": {"host: a.test", "auth: {type: passthrough}", "tls: passthrough", "---"},
	} {
		if !strings.Contains(strings.Join(lines, "\n"), "tls:") {
			lines = append(lines, "tls: passthrough")
		}
		src := one(lines...)
		if before, ok := strings.CutSuffix(src, "    ---\n"); ok {
			src = before + "  - {host: a.test/x, auth: {type: bearer, token: K}}\n"
		}
		_, err := policy.Parse("f", []byte(src), noFiles)
		var e *policy.Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, want) || e.Hint() == "" {
			t.Errorf("%s: %v for\n%s", want, err, src)
		}
	}
}

// The same from services that no file was there for.
func TestPassthroughOfTLSIsCheckedWhenCompiled(t *testing.T) {
	good := policy.Service{Name: "pinned", Host: "a.test", Auth: policy.Auth{Type: policy.Passthrough}, TLS: policy.TLSPassthrough}
	if err := compileError([]policy.Service{good, github}, nil, policy.Deny); err != nil {
		t.Errorf("control: %v", err)
	}
	for name, change := range map[string]func(*policy.Service){
		"auth":    func(s *policy.Service) { s.Auth = github.Auth },
		"methods": func(s *policy.Service) { s.Methods = []string{"GET"} },
		"path":    func(s *policy.Service) { s.Path = "/x" },
		"ca":      func(s *policy.Service) { s.Upstream.CA = "x" },
		"mode":    func(s *policy.Service) { s.TLS = "open" },
		"subs": func(s *policy.Service) {
			s.Substitutions = []policy.Substitution{{Key: "K", Placeholder: "__k__", In: []policy.Surface{policy.InPath}}}
		},
	} {
		bad := good
		change(&bad)
		if compileError([]policy.Service{bad}, nil, policy.Deny) == nil || policy.Validate([]policy.Service{bad}) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	beside := policy.Service{Name: "beside", Host: "a.test", Path: "/x", Auth: github.Auth}
	for _, services := range [][]policy.Service{{good, beside}, {beside, good}} {
		if compileError(services, nil, policy.Deny) == nil {
			t.Error("a host is read and not read")
		}
	}
	beside.Disabled = true
	if err := compileError([]policy.Service{good, beside}, nil, policy.Deny); err != nil {
		t.Errorf("beside one that is disabled: %v", err)
	}
}
