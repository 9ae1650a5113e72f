package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/av-project/av/vault/policy"
)

var (
	// reference is a parameter where it stands. A flow mapping has a colon or a blank in
	// its braces and a template has capitals, so neither is taken for one.
	reference = regexp.MustCompile(`\{([a-z]+)\}`)
	label     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// With returns the entry with its parameters filled, ready for a vault. The values come
// from people, and a value with a dot or a slash in it could move the credential to a
// host of somebody else's: it is one label, or one host where the whole host is asked for.
func (e Entry) With(values map[string]string) (Entry, error) {
	for name := range values {
		if !slices.ContainsFunc(e.Parameters, func(p Parameter) bool { return p.Name == name }) {
			return Entry{}, &problem{fmt.Sprintf("service %s has no parameter %q", e.Name, name), e.parametersHint()}
		}
	}
	ports := map[string]uint16{}
	var pairs []string
	for _, p := range e.Parameters {
		value := values[p.Name]
		if value == "" {
			return Entry{}, &problem{fmt.Sprintf("service %s wants its parameter %q", e.Name, p.Name), e.parametersHint()}
		}
		value, port, err := e.check(p, value)
		if err != nil {
			return Entry{}, err
		}
		ports[p.Name] = port
		pairs = append(pairs, "{"+p.Name+"}", value)
	}
	e.Parameters = nil
	fill := strings.NewReplacer(pairs...).Replace
	e.Note, e.KeyURL = fill(e.Note), fill(e.KeyURL)
	e.Services = fillServices(e.Services, fill, ports)
	e.ReadOnly = fillServices(e.ReadOnly, fill, ports)
	e.Credentials = slices.Clone(e.Credentials)
	for i, c := range e.Credentials {
		e.Credentials[i] = Credential{c.Key, slices.Clone(c.Env), bindings(c.Key, e.Services, e.ReadOnly)}
	}
	for _, services := range [][]policy.Service{e.Services, e.ReadOnly} {
		if err := policy.Validate(services); err != nil {
			return Entry{}, fmt.Errorf("service %s: %w", e.Name, err)
		}
	}
	return e, nil
}

// check returns the one spelling of p's value, and its port where it may have one.
func (e Entry) check(p Parameter, value string) (string, uint16, error) {
	if slices.ContainsFunc(e.Services, func(s policy.Service) bool { return s.Host == "{"+p.Name+"}" }) {
		t, err := policy.ParseTarget(value, policy.DefaultPort)
		if err != nil {
			return "", 0, &problem{fmt.Sprintf("service %s: parameter %q: %v", e.Name, p.Name, err), e.parametersHint()}
		}
		if t.Port == policy.DefaultPort {
			t.Port = 0
		}
		return t.Host, t.Port, nil
	}
	value = strings.ToLower(value)
	if !label.MatchString(value) {
		return "", 0, &problem{fmt.Sprintf("service %s: parameter %q is %q, which is not one part of a host name", e.Name, p.Name, value), e.parametersHint()}
	}
	return value, 0, nil
}

// fillServices returns services of their own, so that the catalog's stay as they are.
func fillServices(services []policy.Service, fill func(string) string, ports map[string]uint16) []policy.Service {
	services = slices.Clone(services)
	for i := range services {
		s := &services[i]
		if whole := reference.FindStringSubmatch(s.Host); whole != nil && whole[0] == s.Host {
			s.Port = ports[whole[1]]
		}
		s.Host = fill(s.Host)
		s.Methods = slices.Clone(s.Methods)
		s.Auth.Headers = slices.Clone(s.Auth.Headers)
		s.Substitutions = slices.Clone(s.Substitutions)
		for j := range s.Substitutions {
			s.Substitutions[j].In = slices.Clone(s.Substitutions[j].In)
		}
	}
	return services
}

// parametersHint shows by example what to fill in.
func (e Entry) parametersHint() string {
	if len(e.Parameters) == 0 {
		return "leave it out: this service is the same for everybody"
	}
	var parts, pairs []string
	for _, p := range e.Parameters {
		parts = append(parts, "--param "+p.Name+"="+p.Example)
		pairs = append(pairs, "{"+p.Name+"}", p.Example)
	}
	host := strings.NewReplacer(pairs...).Replace(e.Services[0].Host)
	return fmt.Sprintf("such as %s, for %s", strings.Join(parts, " "), host)
}
