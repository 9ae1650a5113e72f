package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// wildcard begins a pattern that stands for any one label and what follows it.
const wildcard = "*."

var errEverything error = &problem{"it matches every host", "name each host, or *.DOMAIN"}

// ParseHostPattern reads a host, or "*." and a domain: any one label in its place. It is
// for what may receive a credential, so a wildcard over other people's hosts is refused.
// The canonical form is returned.
func ParseHostPattern(s string) (string, error) {
	if len(s) > maxTarget {
		return "", fmt.Errorf("refusing a host of %d bytes: longer than any name", len(s))
	}
	t, err := readPattern(s, DefaultPort)
	// A port that no default changes is one that was written.
	if other, _ := readPattern(s, DefaultPort+1); err == nil && other.Port == t.Port {
		err = errors.New("it has a port, and all ports of a host are meant")
	}
	if err == nil {
		err = tooWide(t.Host, true)
	}
	if err != nil {
		return "", fmt.Errorf("refusing %q: %w", s, err)
	}
	return t.Host, nil
}

// readPattern reads what readTarget does, or a wildcard of it.
func readPattern(s string, defaultPort uint16) (Target, error) {
	if strings.Trim(s, "*.") == "" && strings.Contains(s, "*") {
		return Target{}, errEverything
	}
	domain, wild := strings.CutPrefix(s, wildcard)
	if strings.Contains(domain, "*") {
		return Target{}, &problem{"a wildcard stands for the whole first label and nothing else", "write *.DOMAIN, or name each host"}
	}
	t, err := readTarget(domain, defaultPort)
	if err != nil || !wild {
		return t, err
	}
	if _, err := netip.ParseAddr(t.Host); err == nil {
		return Target{}, errors.New("an address has no labels for a wildcard")
	}
	t.Host = wildcard + t.Host
	if len(t.Host) > maxName {
		return Target{}, fmt.Errorf("the name is longer than %d characters", maxName)
	}
	return t, nil
}

// tooWide refuses a wildcard over hosts that belong to different people. Where anybody can
// have a name below the domain, "any label" hands the credential to whoever asks for one;
// below a registry's own suffix even the reach alone is too much.
func tooWide(host string, credential bool) error {
	domain, wild := strings.CutPrefix(host, wildcard)
	if !wild {
		return nil
	}
	// A label that no list has: the suffix of *.DOMAIN, also where the list itself says *.DOMAIN.
	suffix, icann := publicsuffix.PublicSuffix("0." + domain)
	public := len(suffix) >= len(domain)
	if public && icann || !strings.Contains(domain, ".") {
		return &problem{fmt.Sprintf("anybody can register a name below %s", domain), "name each host, or *.DOMAIN of one owner"}
	}
	if credential && (public && !ownNames[domain] || tenants[domain] || regions[domain] || regions[parent(domain)]) {
		return &problem{fmt.Sprintf("the hosts below %s belong to different customers", domain), "spell the tenant out, such as yours." + domain}
	}
	return nil
}

// Covers tells whether host, in canonical form, is one that pattern stands for.
func Covers(pattern, host string) bool {
	domain, wild := strings.CutPrefix(pattern, wildcard)
	if !wild {
		return pattern == host
	}
	return parent(host) == domain
}

// Within tells whether binding covers every host that service stands for; both are
// patterns in canonical form.
func Within(service, binding string) bool {
	if strings.HasPrefix(service, wildcard) {
		return service == binding
	}
	return Covers(binding, service)
}

// Meets tells whether there is a host and port that both services are for, whatever their
// paths and methods, and whether they are enabled or not.
func (s Service) Meets(o Service) bool {
	return s.Target().Port == o.Target().Port && (Covers(s.Host, o.Host) || Covers(o.Host, s.Host))
}

// parent is host without its first label, empty if it has no more.
func parent(host string) string {
	if strings.Contains(host, ":") {
		return ""
	}
	_, rest, _ := strings.Cut(host, ".")
	return rest
}
