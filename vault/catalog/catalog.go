// Package catalog knows how well-known services want their credentials, and what popular
// tools must reach. It is data that was written down once: it asks nobody, and what it
// hands out passed the rules that a services file has to follow.
package catalog

import (
	"slices"
	"strings"

	"github.com/av-project/av/vault/policy"
)

// Entry is one service as people speak of it; it may be several hosts to the proxy.
type Entry struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Category string `json:"category"`
	// Note is what someone should know before adding it; most have none.
	Note string `json:"note,omitempty"`
	// KeyURL is the page where the credential is made.
	KeyURL      string       `json:"key_url,omitempty"`
	Credentials []Credential `json:"credentials"`
	Parameters  []Parameter  `json:"parameters,omitempty"`
	// Services are ready for a vault once With has filled the parameters.
	Services []policy.Service `json:"services"`
	// ReadOnly are what to add in their place for somebody who only reads; nil where
	// the API's shape does not tell reading from writing.
	ReadOnly []policy.Service `json:"read_only,omitempty"`
}

// Credential is one that an entry's services need.
type Credential struct {
	Key string `json:"key"`
	// Env are the variables in which the service's own tools look for it.
	Env []string `json:"env"`
	// Hosts are all that its services send it to, and so all it should be bound to.
	Hosts []string `json:"hosts"`
}

// Parameter is a part of a host that differs from customer to customer. In hosts, notes
// and addresses it stands as {name}.
type Parameter struct {
	Name    string `json:"name"`
	Example string `json:"example"`
}

// Find returns the entry of that name. Its error suggests names that are near.
func Find(name string) (Entry, error) {
	entries := load().entries
	i, found := slices.BinarySearchFunc(entries, name, func(e Entry, name string) int {
		return strings.Compare(e.Name, name)
	})
	if found {
		return entries[i], nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return Entry{}, unknown("service", name, names, "`av service catalog` shows all")
}

// Search returns the entries, by name, that have every one of the words, whatever its case,
// in their name, title, category, a host or a credential's name. No words: all entries.
// What they hold is shared: use With before changing it.
func Search(words string) []Entry {
	var found []Entry
	for _, e := range load().entries {
		text := e.text()
		if !slices.ContainsFunc(strings.Fields(strings.ToLower(words)), func(word string) bool {
			return !strings.Contains(text, word)
		}) {
			found = append(found, e)
		}
	}
	return found
}

// text is what Search looks through. Line breaks keep a word from matching across two parts.
func (e Entry) text() string {
	parts := []string{e.Name, e.Title, e.Category}
	for _, s := range e.Services {
		parts = append(parts, s.Host)
	}
	for _, c := range e.Credentials {
		parts = append(parts, c.Key)
		parts = append(parts, c.Env...)
	}
	return strings.ToLower(strings.Join(parts, "\n"))
}
