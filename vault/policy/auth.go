package policy

import (
	"regexp"
	"slices"
)

const maxPrefix = 128 // characters before an api-key's value

var (
	keyName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,127}$`)
	// printable keeps line breaks out of a header.
	printable = regexp.MustCompile(`^[ -~]*$`)
)

// authFields are the keys of each auth type, besides type.
var authFields = map[AuthType][]string{
	Bearer:      {"token"},
	Basic:       {"username", "password"},
	APIKey:      {"key", "header", "prefix"},
	Custom:      {"headers"},
	Passthrough: {},
}

// ValidKey tells whether key can name a credential.
func ValidKey(key string) bool { return keyName.MatchString(key) }

func (m mapping) auth() (Auth, error) {
	n, ok := m.fields["auth"]
	if !ok {
		return Auth{}, m.errorf(m.node, "add `auth: {type: passthrough}` if nothing is to be added", "the service has no auth")
	}
	all := []string{"token", "username", "password", "key", "header", "prefix", "headers"}
	a, err := m.mapping(n, "auth", append([]string{"type"}, all...)...)
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
		return Auth{}, a.errorf(a.at("type"), "it is bearer, basic, api-key, custom or passthrough", "unknown auth type %s", short(t))
	}
	for _, key := range all {
		if value, given := a.fields[key]; given && !slices.Contains(fields, key) {
			return Auth{}, a.errorf(value, "remove it", "auth type %s has no %s", t, key)
		}
	}
	switch auth.Type {
	case Bearer:
		auth.Token, err = a.credential("token")
	case Basic:
		if auth.Username, err = a.credential("username"); err == nil && a.fields["password"] != nil {
			auth.Password, err = a.credential("password")
		}
	case APIKey:
		err = a.apiKey(&auth)
	case Custom:
		auth.Headers, err = a.headers()
	}
	return auth, err
}

func (m mapping) apiKey(auth *Auth) (err error) {
	if auth.Key, err = m.credential("key"); err != nil {
		return err
	}
	auth.Header = "Authorization"
	if m.fields["header"] != nil {
		if auth.Header, err = m.need("header"); err != nil {
			return err
		}
		if err := checkHeader(auth.Header); err != nil {
			return m.refuse("header", err, "%v", err)
		}
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
