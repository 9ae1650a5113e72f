package policy

import (
	"fmt"
	"strings"
)

const rawScheme = "tcp://"

// ParseAllow reads what --allow names: HOST[:PORT], to which requests may go, or
// tcp://HOST:PORT, to which bytes are carried that nobody reads.
func ParseAllow(s string) (t Target, raw bool, err error) {
	rest, raw := strings.CutPrefix(s, rawScheme)
	port := uint16(DefaultPort)
	if raw {
		port = 0 // none is usual among all protocols, and a grant this wide is spelled out
	}
	if t, err = ParseTarget(rest, port); err == nil {
		err = foreign(t.Host)
	}
	return t, raw, err
}

// RawFlag is how t is named as one to which bytes are carried unread.
func RawFlag(t Target) string { return rawScheme + t.String() }

// allowRaw adds the targets to which bytes are carried unread.
func (s *Set) allowRaw(raw []Target) error {
	for _, t := range raw {
		if err := canonical(t); err != nil {
			return fmt.Errorf("allow: %w", err)
		}
		if _, both := s.allowed[t]; both && !s.allowed[t].Raw {
			// One says that requests are read, the other that they are not.
			return &problem{fmt.Sprintf("%s is allowed with %s and without", t, rawScheme), "keep one of them"}
		}
		s.allowed[t] = Verdict{Allow: true, Raw: true, Rule: "allow " + RawFlag(t)}
	}
	return nil
}
