package policy_test

import (
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

var (
	github = policy.Service{Name: "github", Host: "api.github.com", Auth: policy.Auth{Type: policy.Bearer, Token: "GITHUB_TOKEN"}}
	billed = policy.Service{Name: "billed", Host: "billing.test", Port: 8443, Auth: policy.Auth{Type: policy.APIKey, Key: "BILL", Header: "X-Key"}}
)

func TestEveryRowOfTheVerdictTable(t *testing.T) {
	allow := []policy.Target{{Host: "docs.test", Port: 443}, {Host: "api.github.com", Port: 443}, {Host: "2001:db8::1", Port: 80}}
	for _, c := range []struct {
		unmatched policy.Unmatched
		target    policy.Target
		allow     bool
		service   string
		rule      string
		hint      string
	}{
		{"deny", policy.Target{Host: "api.github.com", Port: 443}, true, "github", "service github", ""},
		{"deny", policy.Target{Host: "api.github.com", Port: 80}, false, "", "unmatched deny", "av run --allow api.github.com:80 ..."},
		{"deny", policy.Target{Host: "billing.test", Port: 8443}, true, "billed", "service billed", ""},
		{"deny", policy.Target{Host: "billing.test", Port: 443}, false, "", "unmatched deny", "av run --allow billing.test ..."},
		{"deny", policy.Target{Host: "docs.test", Port: 443}, true, "", "allow docs.test:443", ""},
		{"deny", policy.Target{Host: "docs.test", Port: 80}, false, "", "unmatched deny", "av run --allow docs.test:80 ..."},
		{"deny", policy.Target{Host: "2001:db8::1", Port: 80}, true, "", "allow [2001:db8::1]:80", ""},
		{"deny", policy.Target{Host: "2001:db8::1", Port: 443}, false, "", "unmatched deny", "av run --allow [2001:db8::1] ..."},
		{"deny", policy.Target{Host: "evilapi.github.com", Port: 443}, false, "", "unmatched deny", "av run --allow evilapi.github.com ..."},
		{"deny", policy.Target{Host: "api.github.com.evil.test", Port: 443}, false, "", "unmatched deny", "av run --allow api.github.com.evil.test ..."},
		{"", policy.Target{Host: "else.test", Port: 443}, false, "", "unmatched deny", "av run --allow else.test ..."},
		{"allow", policy.Target{Host: "else.test", Port: 443}, true, "", "unmatched allow", ""},
	} {
		set, err := policy.Compile([]policy.Service{github, billed}, allow, c.unmatched)
		if err != nil {
			t.Fatal(err)
		}
		got := set.Reach(c.target)
		name := ""
		if got.Service != nil {
			name = got.Service.Name
		}
		if got.Allow != c.allow || name != c.service || got.Rule != c.rule || got.Hint != c.hint {
			t.Errorf("unmatched %q, %v: got %+v", c.unmatched, c.target, got)
		}
		if host, ok := strings.CutPrefix(got.Hint, "av run --allow "); ok {
			if again, err := policy.ParseTarget(strings.TrimSuffix(host, " ..."), policy.DefaultPort); err != nil || again != c.target {
				t.Errorf("the hint %q would allow %v, %v", got.Hint, again, err)
			}
		}
	}
}

func TestPolicyThatNoRequestCouldMatchIsRefused(t *testing.T) {
	upper, wild := github, github
	upper.Host, wild.Host = "API.github.com", "*.GitHub.com"
	for name, err := range map[string]error{
		"service that is not canonical":   compileError([]policy.Service{upper}, nil, policy.Deny),
		"wildcard that is not canonical":  compileError([]policy.Service{wild}, nil, policy.Deny),
		"two services for one target":     compileError([]policy.Service{github, github}, nil, policy.Deny),
		"allowance that is not canonical": compileError(nil, []policy.Target{{Host: "A.test", Port: 443}}, policy.Deny),
		"allowance without a port":        compileError(nil, []policy.Target{{Host: "a.test"}}, policy.Deny),
		"unmatched that is neither":       compileError(nil, nil, "maybe"),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func compileError(services []policy.Service, allow []policy.Target, u policy.Unmatched) error {
	_, err := policy.Compile(services, allow, u)
	return err
}

func TestSetKnowsItsCredentialKeys(t *testing.T) {
	set, err := policy.Compile([]policy.Service{github, billed}, nil, policy.Deny)
	if err != nil {
		t.Fatal(err)
	}
	if !set.Uses("GITHUB_TOKEN") || !set.Uses("BILL") || set.Uses("OTHER") || set.Uses("") {
		t.Fatal("wrong keys")
	}
}

func TestAllowedDecisionsDoNotAllocate(t *testing.T) {
	set, err := policy.Compile([]policy.Service{github}, nil, policy.Deny)
	if err != nil {
		t.Fatal(err)
	}
	target := policy.Target{Host: "api.github.com", Port: 443}
	if n := testing.AllocsPerRun(100, func() { set.Reach(target) }); n != 0 {
		t.Errorf("reach: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { set.Decide(target, "GET", "/repos/a%2fb/../c") }); n != 0 {
		t.Errorf("decide: %v allocations", n)
	}
}
