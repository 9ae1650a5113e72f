package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Marshal writes services as YAML that Parse reads back to the same thing.
func Marshal(services []Service) ([]byte, error) {
	if len(services) == 0 {
		return []byte("services: []\n"), nil
	}
	var b strings.Builder
	b.WriteString("services:\n")
	for _, s := range services {
		if _, ok := authFields[s.Auth.Type]; !ok {
			return nil, fmt.Errorf("service %s: unknown auth type %q", s.Name, s.Auth.Type)
		}
		s.write(&b)
	}
	return []byte(b.String()), nil
}

func (s Service) write(b *strings.Builder) {
	fmt.Fprintf(b, "  - name: %s\n    host: %s\n", scalar(s.Name), scalar(s.hostPort()+s.Path))
	if len(s.Methods) > 0 {
		fmt.Fprintf(b, "    methods: [%s]\n", scalars(s.Methods))
	}
	if s.Disabled {
		b.WriteString("    enabled: false\n")
	}
	s.Auth.write(b)
	if len(s.Substitutions) > 0 {
		b.WriteString("    substitutions:\n")
	}
	for _, sub := range s.Substitutions {
		fmt.Fprintf(b, "      - {key: %s, placeholder: %s, in: [%s]}\n", scalar(sub.Key), scalar(sub.Placeholder), scalars(sub.In))
	}
	s.Upstream.write(b)
	if s.TLS != "" {
		fmt.Fprintf(b, "    tls: %s\n", scalar(string(s.TLS)))
	}
	if s.MaxBytesOut != 0 {
		fmt.Fprintf(b, "    max_bytes_out: %s\n", FormatSize(s.MaxBytesOut))
	}
}

func (a Auth) write(b *strings.Builder) {
	if a.Type == Custom {
		b.WriteString("    auth:\n      type: custom\n      headers:\n")
		for _, h := range a.Headers {
			fmt.Fprintf(b, "        %s: %s\n", scalar(h.Name), scalar(h.Value))
		}
		return
	}
	values := map[string]string{"token": a.Token, "username": a.Username, "password": a.Password,
		"key": a.Key, "header": a.Header, "prefix": a.Prefix}
	fmt.Fprintf(b, "    auth: {type: %s", a.Type)
	for _, field := range authFields[a.Type] {
		if values[field] != "" {
			fmt.Fprintf(b, ", %s: %s", field, scalar(values[field]))
		}
	}
	b.WriteString("}\n")
}

// Validate holds services that came from elsewhere than a file against the rules
// that a file has to follow, by making them one.
func Validate(services []Service) error {
	src, err := Marshal(services)
	if err != nil {
		return err
	}
	again, err := Parse("", src, func(name string) ([]byte, error) {
		return nil, fmt.Errorf("%q is not PEM", name)
	})
	if err != nil {
		return err
	}
	for i := range services {
		if !services[i].Equal(again[i]) {
			return fmt.Errorf("service %q is not in its canonical form, which is %+v", services[i].Name, again[i])
		}
	}
	return nil
}

func (u Upstream) write(b *strings.Builder) {
	if !u.Address.IsValid() && u.CA == "" {
		return
	}
	b.WriteString("    upstream:\n")
	if u.Address.IsValid() {
		fmt.Fprintf(b, "      address: %s\n", scalar(u.Address.String()))
	}
	if u.CA != "" {
		b.WriteString("      ca: |\n")
		for line := range strings.Lines(u.CA) {
			b.WriteString("        " + line)
		}
	}
}

// plain is what YAML reads as a string without quotes, whoever reads it.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

func scalar(s string) string {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if plain.MatchString(s) {
			return s
		}
	}
	// Names, paths, headers and prefixes are printable ASCII: of those Go and YAML escape
	// the quote and the backslash, and both with a backslash.
	return strconv.Quote(s)
}

func scalars[S ~string](list []S) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = scalar(string(s))
	}
	return strings.Join(out, ", ")
}
