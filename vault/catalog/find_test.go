package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/av-project/av/vault/catalog"
)

func TestNameThatIsNotThereSuggestsTheOnesThatAreNear(t *testing.T) {
	for name, want := range map[string]string{
		"gihtub": "github", "githb": "github", "GitHub": "github", "anthropc": "anthropic", "open-ai": "openai",
		"sentry-io": "sentry", "azure": "azure-devops or azure-openai", "docker": "dockerhub",
	} {
		_, err := catalog.Find(name)
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(hint(err), "did you mean "+want) {
			t.Errorf("%s: %v, hint %q", name, err, hint(err))
		}
	}
	for _, name := range []string{"", "x", "quite-another-thing", strings.Repeat("a", 1<<16)} {
		_, err := catalog.Find(name)
		if err == nil || strings.Contains(hint(err), "did you mean") || !strings.Contains(hint(err), "av service catalog") {
			t.Errorf("%.20q: hint %q", name, hint(err))
		}
	}
}

func TestEveryEntryIsFoundByItsName(t *testing.T) {
	for _, e := range catalog.Search("") {
		if found, err := catalog.Find(e.Name); err != nil || found.Name != e.Name {
			t.Errorf("%s: %v, %v", e.Name, found.Name, err)
		}
	}
}

func TestSearchWantsEveryWordSomewhere(t *testing.T) {
	for words, want := range map[string][]string{
		"hugging":                {"huggingface"},
		"GITHUB registry":        {"ghcr"},
		"atlassian.net jira":     {"jira"},
		"GH_TOKEN":               {"github"},
		"api.openai.com":         {"openai"},
		"no-such-thing":          nil,
		"github no-such-thing":   nil,
		"forge host of your own": {"gitea", "gitlab-self-managed"},
	} {
		var got []string
		for _, e := range catalog.Search(words) {
			got = append(got, e.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", words, got, want)
		}
	}
	if got := catalog.Search("  "); len(got) != len(catalog.Search("")) {
		t.Errorf("no words: %d entries", len(got))
	}
}
