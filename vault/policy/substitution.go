package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	minPlaceholder   = 4
	maxPlaceholder   = 128
	maxSubstitutions = 32 // of one service
)

// surfaces are all that there are, in the order in which they are listed.
var surfaces = []Surface{InPath, InQuery, InHeader, InBody, InWebSocket}

// CheckPlaceholder refuses a placeholder that could stand in a request by chance, or that
// a client would have to encode.
func CheckPlaceholder(p string) error {
	const convention = "write it as __name__"
	switch {
	case len(p) < minPlaceholder:
		return &problem{fmt.Sprintf("it is shorter than %d characters", minPlaceholder), convention}
	case len(p) > maxPlaceholder:
		return &problem{fmt.Sprintf("it is longer than %d characters", maxPlaceholder), convention}
	}
	word, alphanumeric := true, false
	for _, c := range []byte(p) {
		if !isUnreserved(c) {
			return &problem{"it has a character other than A-Z a-z 0-9 - . _ ~, which clients write in more than one way", convention}
		}
		letter := strings.IndexByte("-._~", c) < 0
		alphanumeric = alphanumeric || letter
		word = word && (letter || c == '_')
	}
	switch {
	case !alphanumeric:
		return &problem{"it has no letter and no digit", convention}
	case word && !strings.Contains(p, "__"):
		return &problem{"it could be a word of a real path: it has neither __ nor a character outside A-Z a-z 0-9 _", convention}
	}
	return nil
}

func (m mapping) substitutions() ([]Substitution, error) {
	list, err := m.list("substitutions")
	if err != nil {
		return nil, err
	}
	if len(list) > maxSubstitutions {
		return nil, m.errorf(m.at("substitutions"), "", "more than %d substitutions", maxSubstitutions)
	}
	var subs []Substitution
	for _, n := range list {
		e, err := m.mapping(n, "a substitution", "key", "placeholder", "in")
		if err != nil {
			return nil, err
		}
		sub := Substitution{}
		if sub.Key, err = e.credential("key"); err != nil {
			return nil, err
		}
		if sub.Placeholder, err = e.need("placeholder"); err != nil {
			return nil, err
		}
		err = CheckPlaceholder(sub.Placeholder)
		if err == nil {
			err = sub.apartFrom(subs)
		}
		if err != nil {
			return nil, e.refuse("placeholder", err, "bad placeholder: %v", err)
		}
		if sub.In, err = e.surfaces(); err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	return subs, nil
}

// apartFrom refuses a placeholder that is part of another: which of the two is meant
// would depend on who looks first.
func (s Substitution) apartFrom(others []Substitution) error {
	for _, o := range others {
		switch {
		case o.Placeholder == s.Placeholder:
			return errors.New("an earlier substitution has the same")
		case strings.Contains(o.Placeholder, s.Placeholder):
			return errors.New("it is part of an earlier one")
		case strings.Contains(s.Placeholder, o.Placeholder):
			return errors.New("an earlier one is part of it")
		}
	}
	return nil
}

// surfaces reads `in`. Headers, bodies and messages are looked through only where
// someone says so.
func (m mapping) surfaces() ([]Surface, error) {
	list, err := m.list("in")
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return []Surface{InPath, InQuery}, nil
	}
	named := map[Surface]bool{}
	for _, n := range list {
		s, err := m.text(n, "a surface")
		if err != nil {
			return nil, err
		}
		switch {
		case !slices.Contains(surfaces, Surface(s)):
			return nil, m.errorf(n, "write path, query, header, body or websocket", "unknown surface %s", short(s))
		case named[Surface(s)]:
			return nil, m.errorf(n, "keep one of them", "surface %s stands twice", s)
		}
		named[Surface(s)] = true
	}
	in := slices.Clone(surfaces)
	return slices.DeleteFunc(in, func(s Surface) bool { return !named[s] }), nil
}
