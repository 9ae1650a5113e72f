// Package match reads where a request wants to go from what its client wrote.
// Every spelling of a place comes out as the one that policy judges, or is refused:
// what was judged is then what is dialled and what is forwarded.
package match

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/av-project/av/vault/policy"
)

// The ports that an authority without one means.
const (
	HTTPPort  = 80
	HTTPSPort = 443
)

// Connect reads the target of a CONNECT line. It must name its port.
func Connect(target string) (policy.Target, error) {
	return parse(target, 0)
}

// parse does not repeat what was sent when it refuses it: that may hold a user name
// and a password, and the reason of a refusal is recorded.
func parse(s string, defaultPort uint16) (policy.Target, error) {
	t, err := policy.ParseTarget(s, defaultPort)
	if err == nil {
		return t, nil
	}
	if cause := errors.Unwrap(err); cause != nil {
		err = cause
	}
	return policy.Target{}, fmt.Errorf("the target cannot be read: %w", err)
}

// Absolute reads the target of an absolute-form request line, and whether it asks
// for TLS.
func Absolute(u *url.URL) (t policy.Target, secure bool, err error) {
	if u.Opaque != "" {
		// "http:@evil.test" has no host that anyone could judge.
		return policy.Target{}, false, errors.New("refusing a URL without //")
	}
	if u.User != nil {
		// "http://github.com@evil.test" is for evil.test, whatever it looks like.
		return policy.Target{}, false, errors.New("refusing a URL with a user name: send an Authorization header")
	}
	switch u.Scheme {
	case "http":
		t, err = parse(u.Host, HTTPPort)
		return t, false, err
	case "https":
		t, err = parse(u.Host, HTTPSPort)
		return t, true, err
	}
	return policy.Target{}, false, fmt.Errorf("refusing scheme %q: it is http or https", u.Scheme)
}

// Agrees tells whether authority, a Host header or an :authority, names t.
// defaultPort is what it means when it names no port.
func Agrees(t policy.Target, authority string, defaultPort uint16) bool {
	if authority == t.Host && t.Port == defaultPort {
		return true // as nearly all clients write it
	}
	named, err := policy.ParseTarget(authority, defaultPort)
	return err == nil && named == t
}

// AgreesSNI tells whether a ClientHello's server name is t's. A client that sends
// none means t.
func AgreesSNI(t policy.Target, name string) bool {
	if name == "" || name == t.Host {
		return true
	}
	if strings.ContainsAny(name, ":[]") {
		return false // a server name has no port
	}
	named, err := policy.ParseTarget(name, t.Port)
	return err == nil && named == t
}

// Authority is how t is written in a Host header.
func Authority(t policy.Target, defaultPort uint16) string {
	if t.Port != defaultPort {
		return t.String()
	}
	if strings.Contains(t.Host, ":") {
		return "[" + t.Host + "]"
	}
	return t.Host
}
