package policy

import (
	"fmt"
	"regexp"

	"github.com/goccy/go-yaml/ast"
)

const (
	maxFile     = 4 << 20 // bytes of a services file
	maxServices = 10_000  // in one vault
)

var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// ValidName tells whether name can be a service's.
func ValidName(name string) bool { return slug.MatchString(name) }

// Parse reads a services file strictly: what it cannot read it refuses with the
// line and the column, because a rule that was misread may send a credential to the
// wrong host. readFile reads a file that the services file names, relative to it.
func Parse(file string, src []byte, readFile func(string) ([]byte, error)) ([]Service, error) {
	d := document{file: file}
	if len(src) > maxFile {
		return nil, d.errorf(nil, "", "the file is larger than %d MiB", maxFile>>20)
	}
	root, err := d.root(src)
	if err != nil {
		return nil, err
	}
	top, err := d.mapping(root, "the file", "services", "vault")
	if err != nil {
		return nil, err
	}
	// Agent Vault writes the vault's name into the file, and like av does not go by it:
	// which vault is meant is for the command line to say.
	if _, err := top.may("vault"); err != nil {
		return nil, err
	}
	list, ok := top.at("services").(*ast.SequenceNode)
	if !ok {
		return nil, d.errorf(top.at("services"), "write `services: []` for no services", "services is %s, want a list", kind(top.fields["services"]))
	}
	if len(list.Values) > maxServices {
		return nil, d.errorf(list, "", "more than %d services", maxServices)
	}
	services, places := make([]Service, len(list.Values)), make([]mapping, len(list.Values))
	for i, n := range list.Values {
		if places[i], services[i], err = d.service(n, readFile); err != nil {
			return nil, err
		}
	}
	return services, together(services, places)
}

// together checks what no service can break alone, and names those without a name.
func together(services []Service, places []mapping) error {
	names, matches := map[string]bool{}, map[string]string{}
	for i, s := range services {
		if s.Name != "" && names[s.Name] {
			return places[i].errorf(places[i].at("name"), "give each service a name of its own", "there are two services named %q", s.Name)
		}
		names[s.Name] = true
	}
	for i := range services {
		s := &services[i]
		if s.Name == "" {
			s.Name = freeName(*s, names)
			names[s.Name] = true
		}
		if s.Disabled {
			continue
		}
		if other, taken := matches[s.matches()]; taken {
			return places[i].errorf(places[i].at("host"), "keep one of them, or set `enabled: false` in one",
				"services %q and %q are both for %s", other, s.Name, s.covers())
		}
		matches[s.matches()] = s.Name
	}
	if i, err := divided(services); err != nil {
		return places[i].refuse("host", err, "%v", err)
	}
	return nil
}

func (d document) service(n ast.Node, readFile func(string) ([]byte, error)) (m mapping, s Service, err error) {
	m, err = d.mapping(n, "a service",
		"name", "host", "path", "port", "enabled", "methods", "auth", "substitutions", "upstream", "tls", "max_bytes_out")
	if err != nil {
		return m, s, err
	}
	if m.fields["name"] != nil {
		if s.Name, err = m.need("name"); err != nil {
			return m, s, err
		}
		if !slug.MatchString(s.Name) {
			return m, s, m.errorf(m.at("name"), "use a-z, 0-9 and hyphens inside, up to 64", "bad service name %s", short(s.Name))
		}
	}
	if err = m.where(&s); err != nil {
		return m, s, err
	}
	if s.Methods, err = m.methods(); err != nil {
		return m, s, err
	}
	enabled, err := m.boolean("enabled", true)
	if err != nil {
		return m, s, err
	}
	s.Disabled = !enabled
	if s.Auth, err = m.auth(); err != nil {
		return m, s, err
	}
	if s.Substitutions, err = m.substitutions(); err != nil {
		return m, s, err
	}
	if err := tooWide(s.Host, len(s.Keys()) > 0); err != nil {
		return m, s, m.refuse("host", err, "host: refusing %s: %v", short(s.Host), err)
	}
	if s.Upstream, err = m.upstream(readFile); err != nil {
		return m, s, err
	}
	if s.MaxBytesOut, err = m.size("max_bytes_out"); err != nil {
		return m, s, err
	}
	err = m.tls(&s)
	return m, s, err
}

// short quotes s, and of something long its beginning.
func short(s string) string {
	const enough = 80
	if len(s) > enough {
		return fmt.Sprintf("%q...", s[:enough])
	}
	return fmt.Sprintf("%q", s)
}
