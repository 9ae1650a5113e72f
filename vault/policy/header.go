package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const maxHeaders = 32 // of one service

// fieldName is RFC 9110's token, and bounded.
var fieldName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")

// framing headers say where a message ends, whom it is for, or are taken away on
// the way: a credential in one would change the request or never arrive.
var framing = set("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer",
	"transfer-encoding", "upgrade")

// checkHeader refuses a name that is none, or of a header that is not for credentials.
func checkHeader(name string) error {
	if !fieldName.MatchString(name) {
		return fmt.Errorf("%s is not a header name", short(name))
	}
	if slot := fold(name); framing[slot] || strings.HasPrefix(slot, "proxy-") {
		return fmt.Errorf("a credential cannot go into %s", name)
	}
	return nil
}

// fold is the slot of a header as CGI has it: letters without case, and all that is
// neither letter nor digit alike. Two names of one slot are one header to some servers.
func fold(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		}
		return '-'
	}, name)
}

// headers reads those of auth type custom.
func (m mapping) headers() ([]Header, error) {
	n, ok := m.fields["headers"]
	if !ok {
		return nil, m.errorf(m.node, "add `headers:`", "auth has no headers")
	}
	node, ok := n.(*ast.MappingNode)
	if !ok {
		return nil, m.errorf(n, "write NAME: VALUE for each header", "headers is %s, want names and values", kind(n))
	}
	switch {
	case len(node.Values) == 0:
		return nil, m.errorf(n, "add a header, or use type passthrough", "headers is empty")
	case len(node.Values) > maxHeaders:
		return nil, m.errorf(n, "", "more than %d headers", maxHeaders)
	}
	slots := map[string]string{}
	var headers []Header
	for _, pair := range node.Values {
		name, ok := pair.Key.(*ast.StringNode)
		if !ok {
			return nil, m.errorf(pair.Key, "", "a header's name is %s, want a string", kind(pair.Key))
		}
		if err := checkHeader(name.Value); err != nil {
			return nil, m.errorf(name, "", "%v", err)
		}
		slot := fold(name.Value)
		if other, taken := slots[slot]; taken {
			return nil, m.errorf(name, "keep one of them", "headers %s and %s are the same to some servers", other, name.Value)
		}
		slots[slot] = name.Value
		value, err := m.headerValue(name.Value, pair.Value)
		if err != nil {
			return nil, err
		}
		headers = append(headers, Header{name.Value, value})
	}
	slices.SortFunc(headers, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	return headers, nil
}

// headerValue reads a template. A number or a truth is what it is written as: it is a
// version or a switch, and has no other spelling here.
func (m mapping) headerValue(name string, n ast.Node) (string, error) {
	value := ""
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		value = n.GetToken().Value
	default:
		var err error
		if value, err = m.text(n, "header "+name); err != nil {
			return "", err
		}
	}
	t, err := ParseTemplate(value)
	switch {
	case err != nil:
		return "", m.errorf(n, "write {{ KEY }} for the value of a credential", "header %s: %v", name, err)
	case strings.Trim(value, " ") == "":
		return "", m.errorf(n, "leave it out", "header %s is empty", name)
	case holdsCredential(name) && len(t.Keys()) == 0:
		return "", m.errorf(n, "store the value with `av credential set KEY`, and write {{ KEY }}",
			"header %s has a value of its own, and a services file holds no secrets", name)
	}
	return value, nil
}

// holdsCredential tells whether a header of that name is there for a credential, so that
// text in it is a secret that was pasted where its key belongs. Other headers may have
// fixed text, and all of them: X-Team, or the version of an API.
func holdsCredential(name string) bool {
	slot := fold(name)
	for _, end := range []string{"authorization", "cookie", "key", "token", "secret", "password"} {
		if slot == end || strings.HasSuffix(slot, "-"+end) {
			return true
		}
	}
	return strings.HasSuffix(slot, "apikey")
}
