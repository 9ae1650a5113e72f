package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// AuthType is how a credential is put into a request.
type AuthType string

const (
	Bearer      AuthType = "bearer"      // Authorization: Bearer <token>
	Basic       AuthType = "basic"       // Authorization: Basic <username:password>
	APIKey      AuthType = "api-key"     // <header>: <prefix><key>
	Custom      AuthType = "custom"      // headers from templates
	Passthrough AuthType = "passthrough" // nothing is added, nothing is taken away
)

// Auth names the credentials of a service. It holds keys, never values.
type Auth struct {
	Type AuthType `json:"type"`
	// Token is bearer's credential key.
	Token string `json:"token,omitempty"`
	// Username and Password are basic's credential keys; Password may be empty.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Key is api-key's credential key; Header receives Prefix and then its value.
	Key    string `json:"key,omitempty"`
	Header string `json:"header,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	// Headers are custom's, in the order of their names.
	Headers []Header `json:"headers,omitempty"`
}

// Keys are the credential keys that the service needs, sorted, without repeats.
func (a Auth) Keys() []string {
	var keys []string
	for _, k := range []string{a.Token, a.Username, a.Password, a.Key} {
		if k != "" {
			keys = append(keys, k)
		}
	}
	for _, h := range a.Headers {
		if t, err := ParseTemplate(h.Value); err == nil {
			keys = append(keys, t.Keys()...)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Upstream is an operator's explicit grant: dial here, trust this.
type Upstream struct {
	// Address is dialled instead of what the name resolves to; zero: resolve.
	Address netip.AddrPort `json:"address,omitzero"`
	// CA is a PEM bundle that alone vouches for this upstream; "": the system's.
	CA string `json:"ca,omitempty"`
}

// Header is one header of auth type custom. In its value, {{ KEY }} stands for the
// value of a credential.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Surface is a part of a request in which placeholders are looked for.
type Surface string

const (
	InPath      Surface = "path"
	InQuery     Surface = "query"
	InHeader    Surface = "header"
	InBody      Surface = "body"
	InWebSocket Surface = "websocket" // text messages from the client
)

// Substitution puts a credential where its placeholder stands, on the surfaces that it
// names and nowhere else.
type Substitution struct {
	Key         string    `json:"key"`
	Placeholder string    `json:"placeholder"`
	In          []Surface `json:"in"`
}

// Service is where requests may go, and what is added on the way.
type Service struct {
	Name string `json:"name"`
	// Host is a canonical exact name, or "*." and one: any one label in its place.
	Host string `json:"host"`
	// Port is the one port that the service covers; 0 is 443.
	Port uint16 `json:"port,omitempty"`
	// Path is a glob that the whole path must match, in which * is any run of characters,
	// slashes too; empty: any path.
	Path string `json:"path,omitempty"`
	// Methods are the methods that it covers, in capitals, sorted; empty: all.
	Methods       []string       `json:"methods,omitempty"`
	Disabled      bool           `json:"disabled,omitempty"`
	Auth          Auth           `json:"auth"`
	Substitutions []Substitution `json:"substitutions,omitempty"`
	Upstream      Upstream       `json:"upstream,omitzero"`
	// TLS is passthrough where the proxy does not open it.
	TLS TLSMode `json:"tls,omitempty"`
	// MaxBytesOut is how many bytes one session may send to its hosts together, heads
	// included; 0: any.
	MaxBytesOut int64 `json:"max_bytes_out,omitempty"`
}

// Equal tells whether s and o are the same in everything.
func (s Service) Equal(o Service) bool { return reflect.DeepEqual(s, o) }

// Keys are the credential keys that the service needs, for auth and substitutions,
// sorted, without repeats.
func (s Service) Keys() []string {
	keys := s.Auth.Keys()
	for _, sub := range s.Substitutions {
		keys = append(keys, sub.Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// DefaultPort is what a host without a port means.
const DefaultPort = 443

// Target is what s covers, a pattern in the place of the host.
func (s Service) Target() Target {
	if s.Port == 0 {
		return Target{s.Host, DefaultPort}
	}
	return Target{s.Host, s.Port}
}

// matches is everything that says which requests s is for.
func (s Service) matches() string {
	return s.Target().String() + s.Path + " " + strings.Join(s.Methods, ",")
}

// covers says the same to people.
func (s Service) covers() string {
	what := s.Target().String() + s.Path
	if len(s.Methods) > 0 {
		return strings.Join(s.Methods, ", ") + " " + what
	}
	return what
}

// hostPort is s's host as a services file has it: no port where it is 443.
func (s Service) hostPort() string {
	if t := s.Target(); t.Port != DefaultPort {
		return t.String()
	}
	return s.Host
}
