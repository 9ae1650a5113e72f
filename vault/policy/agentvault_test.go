package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault/policy"
)

var pathAndQuery = []policy.Surface{policy.InPath, policy.InQuery}

func bearer(name, host, path, token string) policy.Service {
	return policy.Service{Name: name, Host: host, Path: path, Auth: policy.Auth{Type: policy.Bearer, Token: token}}
}

func passthrough(name, host string) policy.Service {
	return policy.Service{Name: name, Host: host, Auth: policy.Auth{Type: policy.Passthrough}}
}

func TestFileOfAgentVaultsUsersLoadsUnchanged(t *testing.T) {
	docs := passthrough("docs", "docs.example.com")
	docs.Disabled = true
	weather := passthrough("weather", "api.weather.example")
	weather.Substitutions = []policy.Substitution{{Key: "WEATHER_KEY", Placeholder: "weather.key", In: []policy.Surface{policy.InQuery, policy.InHeader}}}
	want := []policy.Service{
		bearer("stripe", "api.stripe.com", "", "STRIPE_KEY"),
		bearer("github", "*.github.com", "", "GITHUB_TOKEN"),
		{Name: "anthropic", Host: "api.anthropic.com", Auth: policy.Auth{Type: policy.APIKey, Key: "ANTHROPIC_KEY", Header: "x-api-key"}},
		{Name: "linear", Host: "api.linear.app", Auth: policy.Auth{Type: policy.APIKey, Key: "LINEAR_KEY", Header: "Authorization"}},
		{Name: "pager", Host: "api.pager.example",
			Auth: policy.Auth{Type: policy.APIKey, Key: "PAGER_KEY", Header: "Authorization", Prefix: "Token token="}},
		{Name: "ashby", Host: "api.ashbyhq.com", Auth: policy.Auth{Type: policy.Basic, Username: "ASHBY_API_KEY"}},
		{Name: "jira", Host: "yoursite.atlassian.net",
			Auth: policy.Auth{Type: policy.Basic, Username: "JIRA_EMAIL", Password: "JIRA_API_TOKEN"}},
		bearer("slack-bot", "slack.com", "/api/*", "SLACK_BOT_TOKEN"),
		bearer("slack-conn", "slack.com", "/api/apps.connections.*", "SLACK_CONNECTION_TOKEN"),
		{Name: "acme", Host: "api.acme.internal", Auth: policy.Auth{Type: policy.Custom, Headers: []policy.Header{
			{Name: "X-API-Key", Value: "{{ ACME_API_KEY }}"},
			{Name: "X-Api-Version", Value: "2026-01-15"},
			{Name: "X-Audit", Value: "true"},
			{Name: "X-Retry", Value: "3"},
			{Name: "X-Tenant-ID", Value: "{{ACME_TENANT}}"},
		}}},
		{Name: "twilio", Host: "api.twilio.com",
			Auth:          policy.Auth{Type: policy.Basic, Username: "TWILIO_ACCOUNT_SID", Password: "TWILIO_AUTH_TOKEN"},
			Substitutions: []policy.Substitution{{Key: "TWILIO_ACCOUNT_SID", Placeholder: "__account_sid__", In: pathAndQuery}}},
		weather,
		docs,
		passthrough("status", "status.example.com"),
		bearer("hooks-example-v1", "*.hooks.example", "/v1/*/send", "HOOK_TOKEN"),
		passthrough("registry-example", "registry.example"),
	}
	is(t, "testdata/agent-vault.yaml", want)
}

func TestWhatAgentVaultListsLoadsUnchanged(t *testing.T) {
	is(t, "testdata/agent-vault-list.yaml", []policy.Service{
		bearer("slack-com-api", "slack.com", "/api/*", "SLACK_BOT_TOKEN"),
		{Name: "billing", Host: "billing.example", Port: 8443, Disabled: true,
			Auth: policy.Auth{Type: policy.Custom, Headers: []policy.Header{{Name: "X-Billing", Value: "{{ BILLING_KEY }}:{{ BILLING_USER }}"}}},
			Substitutions: []policy.Substitution{{Key: "BILLING_USER", Placeholder: "~user~",
				In: []policy.Surface{policy.InPath, policy.InHeader}}}},
	})
}

func is(t *testing.T, file string, want []policy.Service) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := policy.Parse(file, src, noFiles)
	if diff := cmp.Diff(want, got, comparable); err != nil || diff != "" {
		t.Fatalf("err %v\n%s", err, diff)
	}
	if err := policy.Validate(got); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Compile(got, nil, policy.Deny); err != nil {
		t.Fatal(err)
	}
}

func TestServicesWithoutNamesGetDifferentOnes(t *testing.T) {
	long := "1" + strings.Repeat("a", 61)
	const list = `services:
  - {host: a.test, auth: {type: passthrough}}
  - {host: a.test:8443, auth: {type: passthrough}}
  - {name: a-test-2, host: b.test, auth: {type: passthrough}}
  - {host: a.test/*, auth: {type: passthrough}}
  - {host: "[2001:db8::1]", auth: {type: passthrough}}
  - {host: x, auth: {type: passthrough}}
  - {host: LONG.bbbb, auth: {type: passthrough}}
  - {host: LONG.bbbb:80, auth: {type: passthrough}}
`
	got, err := policy.Parse("f", []byte(strings.ReplaceAll(list, "LONG", long)), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range got {
		names = append(names, s.Name)
	}
	want := []string{"a-test", "a-test-3", "a-test-2", "a-test-root", "2001-db8-1", "x-svc", long + "-b", long + "-2"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if err := policy.Validate(got); err != nil {
		t.Error(err)
	}
}
