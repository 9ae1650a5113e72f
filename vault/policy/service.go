package policy

import (
	"net/netip"
	"slices"
)

// AuthType is how a credential is put into a request.
type AuthType string

const (
	Bearer      AuthType = "bearer"      // Authorization: Bearer <token>
	APIKey      AuthType = "api-key"     // <header>: <prefix><key>
	Passthrough AuthType = "passthrough" // nothing is added, nothing is taken away
)

// Auth names the credentials of a service. It holds keys, never values.
type Auth struct {
	Type AuthType `json:"type"`
	// Token is bearer's credential key.
	Token string `json:"token,omitempty"`
	// Key is api-key's credential key; Header receives Prefix and then its value.
	Key    string `json:"key,omitempty"`
	Header string `json:"header,omitempty"`
	Prefix string `json:"prefix,omitempty"`
}

// Keys are the credential keys that the service needs, sorted, without repeats.
func (a Auth) Keys() []string {
	var keys []string
	for _, k := range []string{a.Token, a.Key} {
		if k != "" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Upstream is an operator's explicit grant: dial here, trust this.
type Upstream struct {
	// Address is dialled instead of what the name resolves to; zero: resolve.
	Address netip.AddrPort `json:"address,omitzero"`
	// CA is a PEM bundle that vouches for this upstream, besides the system's.
	CA string `json:"ca,omitempty"`
}

// Service is one host that requests may go to, and what is added on the way.
type Service struct {
	Name string `json:"name"`
	// Host is a canonical exact name.
	Host string `json:"host"`
	// Port is the one port that the service covers; 0 is 443.
	Port     uint16   `json:"port,omitempty"`
	Auth     Auth     `json:"auth"`
	Upstream Upstream `json:"upstream,omitzero"`
}

// DefaultPort is what a host without a port means.
const DefaultPort = 443

// Target is the one place that s covers.
func (s Service) Target() Target {
	if s.Port == 0 {
		return Target{s.Host, DefaultPort}
	}
	return Target{s.Host, s.Port}
}
