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
		fields, ok := authFields[s.Auth.Type]
		if !ok {
			return nil, fmt.Errorf("service %s: unknown auth type %q", s.Name, s.Auth.Type)
		}
		fmt.Fprintf(&b, "  - name: %s\n    host: %s\n", scalar(s.Name), scalar(s.hostPort()))
		fmt.Fprintf(&b, "    auth: {type: %s", s.Auth.Type)
		values := map[string]string{"token": s.Auth.Token, "key": s.Auth.Key, "header": s.Auth.Header, "prefix": s.Auth.Prefix}
		for _, field := range fields {
			if values[field] != "" {
				fmt.Fprintf(&b, ", %s: %s", field, scalar(values[field]))
			}
		}
		b.WriteString("}\n")
		s.Upstream.write(&b)
	}
	return []byte(b.String()), nil
}

// Validate holds services that came from elsewhere than a file against the rules
// that a file has to follow, by making them one.
func Validate(services []Service) error {
	src, err := Marshal(services)
	if err != nil {
		return err
	}
	again, err := Parse("services", src, func(name string) ([]byte, error) {
		return nil, fmt.Errorf("%q is not PEM", name)
	})
	if err != nil {
		return err
	}
	for i := range services {
		if services[i] != again[i] {
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

// hostPort is s's host as a services file has it: no port where it is 443.
func (s Service) hostPort() string {
	if t := s.Target(); t.Port != DefaultPort {
		return t.String()
	}
	return s.Host
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
	// Names, headers and prefixes are printable ASCII: of those Go and YAML escape
	// the quote and the backslash, and both with a backslash.
	return strconv.Quote(s)
}
