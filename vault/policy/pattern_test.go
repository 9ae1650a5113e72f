package policy_test

import (
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

func TestHostPatternHasOneCanonicalForm(t *testing.T) {
	for in, want := range map[string]string{
		"api.github.com":              "api.github.com",
		"API.GitHub.com.":             "api.github.com",
		"*.GitHub.com":                "*.github.com",
		"*.bücher.example":            "*.xn--bcher-kva.example",
		"*.yours.atlassian.net":       "*.yours.atlassian.net",
		"yours.atlassian.net":         "yours.atlassian.net",
		"someone.github.io":           "someone.github.io",
		"*.googleapis.com":            "*.googleapis.com",
		"localhost":                   "localhost",
		"192.0.2.7":                   "192.0.2.7",
		"2001:DB8:0::1":               "2001:db8::1",
		"[2001:db8::443]":             "2001:db8::443",
		"*.s3.eu-central-1.corp.test": "*.s3.eu-central-1.corp.test",
	} {
		got, err := policy.ParseHostPattern(in)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
		if again, err := policy.ParseHostPattern(got); err != nil || again != got {
			t.Errorf("%q is read again as %q, %v", got, again, err)
		}
	}
}

func TestHostPatternThatNobodyCanAnswerForIsRefused(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "no host name",
		"*":                                     "matches every host",
		"*.":                                    "matches every host",
		"*.*":                                   "matches every host",
		"*.*.test":                              "whole first label",
		"a.*.test":                              "whole first label",
		"*a.test":                               "whole first label",
		"**.a.test":                             "whole first label",
		"*.test":                                "anybody can register",
		"*.com":                                 "anybody can register",
		"*.co.uk":                               "anybody can register",
		"*.kawasaki.jp":                         "anybody can register",
		"*.ck":                                  "anybody can register",
		"*.github.io":                           "different customers",
		"*.blogspot.com":                        "different customers",
		"*.atlassian.net":                       "different customers",
		"*.my.salesforce.com":                   "different customers",
		"*.okta.com":                            "different customers",
		"*.ZENDESK.com.":                        "different customers",
		"*.eastus.cloudapp.azure.com":           "different customers", // anybody's machine
		"*.EU.azurecontainerapps.io":            "different customers",
		"*.euw.devtunnels.ms":                   "different customers",
		"*.app.github.dev":                      "different customers",
		"*.scm.azurewebsites.net":               "different customers",
		"*.webhook.site":                        "different customers",
		"*.127.0.0.1":                           "an address has no labels",
		"*.[::1]":                               "an address has no labels",
		"a.test:443":                            "has a port",
		"a.test:8443":                           "has a port",
		"*.a.test:443":                          "has a port",
		"[2001:db8::1]:443":                     "has a port",
		"https://a.test":                        "URL",
		"a.test/x":                              "cannot be in a host name",
		"a b.test":                              "cannot be in a host name",
		strings.Repeat("a", 5000):               "longer than any name",
		"*." + strings.Repeat("a.", 125) + "bc": "longer than 253",
	} {
		if got, err := policy.ParseHostPattern(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestWildcardIsOneLabel(t *testing.T) {
	for _, c := range []struct {
		pattern, host string
		want          bool
	}{
		{"a.test", "a.test", true},
		{"a.test", "b.a.test", false},
		{"*.a.test", "b.a.test", true},
		{"*.a.test", "a.test", false},
		{"*.a.test", "c.b.a.test", false},
		{"*.a.test", "ba.test", false},
		{"*.a.test", "*.a.test", true},
		{"*.db8::1", "2001.db8::1", false},
		{"2001:db8::1", "2001:db8::1", true},
	} {
		if got := policy.Covers(c.pattern, c.host); got != c.want {
			t.Errorf("Covers(%q, %q) = %t", c.pattern, c.host, got)
		}
	}
}

func TestServiceStaysWithinABindingWhereEveryHostOfItDoes(t *testing.T) {
	for _, c := range []struct {
		service, binding string
		want             bool
	}{
		{"api.a.test", "api.a.test", true},
		{"api.a.test", "*.a.test", true},
		{"*.a.test", "*.a.test", true},
		{"*.a.test", "api.a.test", false},
		{"*.b.a.test", "*.a.test", false},
		{"*.a.test", "*.test", false},
		{"a.test", "*.a.test", false},
		{"api.b.test", "*.a.test", false},
	} {
		if got := policy.Within(c.service, c.binding); got != c.want {
			t.Errorf("Within(%q, %q) = %t", c.service, c.binding, got)
		}
	}
}
