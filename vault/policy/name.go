package policy

import (
	"fmt"
	"strings"
)

const (
	maxServiceName = 64
	minServiceName = 3
)

// freeName makes a name for a service that was given none: its host, and its path up to
// the first *, with hyphens for all that is neither letter nor digit. A number follows
// where that name is taken. Agent Vault makes the same, so that a file without names
// gives its services the names that its users know.
func freeName(s Service, taken map[string]bool) string {
	literal, _, _ := strings.Cut(s.Path, "*")
	base := strings.TrimPrefix(s.Host, wildcard) + literal
	if s.Path != "" && strings.Trim(literal, "/") == "" {
		base += "root"
	}
	base = strings.Join(strings.FieldsFunc(strings.ToLower(base), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	}), "-")
	if len(base) < minServiceName {
		base = strings.TrimPrefix(base+"-svc", "-")
	}
	name := base[:min(len(base), maxServiceName)]
	for n := 2; ; n++ {
		name = strings.TrimRight(name, "-")
		if !taken[name] {
			return name
		}
		number := fmt.Sprintf("-%d", n)
		name = strings.TrimRight(base[:min(len(base), maxServiceName-len(number))], "-") + number
	}
}
