package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

const (
	// keptVersions is how many earlier values stay when nothing is said.
	keptVersions = 10
	maxVersions  = 100
	maxHosts     = 64
)

// meta is what is said about a credential in the clear. What is sealed is bound to it: whoever
// writes the file cannot take a binding away, or have a value run as a command.
type meta struct {
	Version int `json:"version"`
	// Hosts are the only ones that the value may go to, sorted; none: any.
	Hosts []string `json:"hosts,omitempty"`
	// Ref is the kind of reference whose target is sealed; "": a value is.
	Ref  string        `json:"ref,omitempty"`
	Keep time.Duration `json:"keep,omitempty"`
	// Versions is how many earlier values stay; nil: keptVersions.
	Versions *int `json:"versions,omitempty"`
}

// bare is a value of which nothing is said: rows of the first schema are such.
func (m meta) bare() bool {
	return m.Version == 1 && len(m.Hosts) == 0 && m.Ref == "" && m.Keep == 0 && m.Versions == nil
}

// String is what stands in the row.
func (m meta) String() string {
	if m.bare() {
		return ""
	}
	b, _ := json.Marshal(m) // numbers and strings: it cannot fail
	return string(b)
}

// parseMeta reads what String wrote. Before the row is opened it is hearsay.
func parseMeta(s string) (meta, error) {
	m := meta{Version: 1}
	if s == "" {
		return m, nil
	}
	if err := json.Unmarshal([]byte(s), &m); err != nil || m.Version < 1 || m.String() != s {
		return meta{}, errors.New("what is said about it cannot be read")
	}
	return m, nil
}

// metaOf is what a row says.
func metaOf(row store.Secret) (meta, error) {
	m, err := parseMeta(row.Meta)
	if err != nil {
		return meta{}, fmt.Errorf("credential %s: %w: %v", row.Name, ErrCorrupt, err)
	}
	return m, nil
}

func (m meta) kept() int {
	if m.Versions == nil {
		return keptVersions
	}
	return *m.Versions
}

// covers tells whether the value may go to host.
func (m meta) covers(host string) bool {
	return len(m.Hosts) == 0 || slices.ContainsFunc(m.Hosts, func(binding string) bool { return policy.Covers(binding, host) })
}

// coversService tells whether the value may go wherever a service sends it.
func (m meta) coversService(s policy.Service) bool {
	return len(m.Hosts) == 0 || slices.ContainsFunc(m.Hosts, func(binding string) bool { return policy.Within(s.Host, binding) })
}

// coversAll tells whether the value may go wherever another's may.
func (m meta) coversAll(other meta) bool {
	if len(m.Hosts) == 0 {
		return true
	}
	return len(other.Hosts) > 0 && !slices.ContainsFunc(other.Hosts, func(host string) bool {
		return !m.coversService(policy.Service{Host: host})
	})
}

// opened is a credential's row with what was sealed in it: the value, or the target of
// a reference.
type opened struct {
	meta
	sealed           Value
	created, updated time.Time
	// row is what was opened; zero for a credential that is not there yet.
	row store.Secret
}

// reference is where o's value is fetched.
func (o opened) reference() Reference {
	target := o.sealed.Open()
	defer clear(target)
	return Reference{Kind: o.Ref, Target: string(target), Keep: o.Keep}
}

func credentialPlace(vault, name, said string) seal.Place {
	return seal.Place{Vault: vault, Kind: kindCredential, Name: name, Bound: said}
}

// openCredential returns ErrCorrupt for a row of which a bit, or a word of what it says, is
// another than when it was sealed.
func openCredential(key seal.Key, vault string, row store.Secret) (opened, error) {
	plain, err := openRow(key, credentialPlace(vault, row.Name, row.Meta), row.Sealed)
	if err != nil {
		return opened{}, err
	}
	defer clear(plain)
	m, err := metaOf(row)
	if err != nil {
		return opened{}, err
	}
	return opened{m, NewValue(plain), row.Created, row.Updated, row}, nil
}

func sealCredential(key seal.Key, vault, name string, o opened) (store.Secret, error) {
	plain := o.sealed.Open()
	defer clear(plain)
	row := store.Secret{Name: name, Meta: o.meta.String(), Created: o.created, Updated: o.updated}
	var err error
	row.Sealed, err = key.Seal(credentialPlace(vault, name, row.Meta), plain)
	return row, err
}
