package policy

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const maxPrefix = 128 // characters before an api-key's value

var (
	keyName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,127}$`)
	// fieldName is RFC 9110's token, and bounded.
	fieldName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
	// printable keeps line breaks out of a header.
	printable = regexp.MustCompile(`^[ -~]*$`)
)

// framing headers say where a message ends, whom it is for, or are taken away on
// the way: a credential in one would change the request or never arrive.
var framing = []string{
	"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer",
	"transfer-encoding", "upgrade",
}

// authFields are the keys of each auth type, besides type.
var authFields = map[AuthType][]string{
	Bearer:      {"token"},
	APIKey:      {"key", "header", "prefix"},
	Passthrough: {},
}

// ValidKey tells whether key can name a credential.
func ValidKey(key string) bool { return keyName.MatchString(key) }

func (m mapping) auth() (Auth, error) {
	n, ok := m.fields["auth"]
	if !ok {
		return Auth{}, m.errorf(m.node, "add `auth: {type: passthrough}` if nothing is to be added", "the service has no auth")
	}
	// The type says more about what is wrong than the keys that come with it.
	if err := m.refuseLaterType(n); err != nil {
		return Auth{}, err
	}
	a, err := m.mapping(n, "auth", []string{"type", "token", "key", "header", "prefix"}, nil)
	if err != nil {
		return Auth{}, err
	}
	t, err := a.need("type")
	if err != nil {
		return Auth{}, err
	}
	auth := Auth{Type: AuthType(t)}
	fields, ok := authFields[auth.Type]
	if !ok {
		return Auth{}, a.errorf(a.at("type"), "it is bearer, api-key or passthrough", "unknown auth type %q", t)
	}
	for _, key := range []string{"token", "key", "header", "prefix"} {
		if value, given := a.fields[key]; given && !slices.Contains(fields, key) {
			return Auth{}, a.errorf(value, "remove it", "auth type %s has no %s", t, key)
		}
	}
	switch auth.Type {
	case Bearer:
		auth.Token, err = a.credential("token")
	case APIKey:
		err = a.apiKey(&auth)
	}
	return auth, err
}

func (m mapping) apiKey(auth *Auth) (err error) {
	if auth.Key, err = m.credential("key"); err != nil {
		return err
	}
	if auth.Header, err = m.need("header"); err != nil {
		return err
	}
	if !fieldName.MatchString(auth.Header) {
		return m.errorf(m.at("header"), "", "%q is not a header name", auth.Header)
	}
	lower := strings.ToLower(auth.Header)
	if slices.Contains(framing, lower) || strings.HasPrefix(lower, "proxy-") {
		return m.errorf(m.at("header"), "", "a credential cannot go into %s", auth.Header)
	}
	if auth.Prefix, err = m.may("prefix"); err != nil {
		return err
	}
	if len(auth.Prefix) > maxPrefix || !printable.MatchString(auth.Prefix) {
		return m.errorf(m.at("prefix"), "", "prefix is longer than %d characters or not printable ASCII", maxPrefix)
	}
	return nil
}

// credential reads a credential key. The message does not repeat what it found: the
// usual mistake is to write the secret itself where its name belongs.
func (m mapping) credential(field string) (string, error) {
	key, err := m.need(field)
	if err != nil {
		return "", err
	}
	if !ValidKey(key) {
		return "", m.errorf(m.at(field), "name the credential, such as GITHUB_TOKEN, not its value; `av credential list` shows the names",
			"%s is not a credential key", field)
	}
	return key, nil
}

// refuseLaterType refuses an auth of a type that a later version has.
func (d document) refuseLaterType(n ast.Node) error {
	node, ok := n.(*ast.MappingNode)
	if !ok {
		return nil
	}
	for _, pair := range node.Values {
		key, isKey := pair.Key.(*ast.StringNode)
		value, isText := pair.Value.(*ast.StringNode)
		if isKey && isText && key.Value == "type" && slices.Contains([]string{"basic", "custom"}, value.Value) {
			return d.errorf(value, "it is bearer, api-key or passthrough", "auth type %q is not supported by this version", value.Value)
		}
	}
	return nil
}
