package egress

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// Proxy is the way out of a network that lets nothing out by itself. An operator named
// it, so its own address is not judged like a target's: it is mostly a private one.
type Proxy struct {
	scheme, host string
	port         uint16
	login        func() (user, password string, ok bool) // a closure prints as nothing
	roots        *x509.CertPool
	rules        func(*url.URL) (*url.URL, error)
}

var defaultPorts = map[string]uint16{"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

const proxyForm = "write http://USER:PASSWORD@HOST:PORT, or https, socks5, socks5h, with USER and PASSWORD percent-encoded or left out"

// NewProxy reads a proxy's URL, and the rules for what is dialled without it, in the form
// that NO_PROXY has; what it cannot read of them it leaves out, as all programs do (see
// CheckRules). roots vouch for a proxy that speaks TLS; nil means the system's.
//
// No error repeats the URL, nor a part of it: there may be a password in any.
func NewProxy(address, rules string, roots *x509.CertPool) (*Proxy, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, &problem{"the URL cannot be read", proxyForm}
	}
	port, known := defaultPorts[u.Scheme]
	switch {
	case !known:
		return nil, &problem{"the URL does not begin with http://, https://, socks5:// or socks5h://", proxyForm}
	case u.Hostname() == "":
		return nil, &problem{"the URL has no host", proxyForm}
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, &problem{"the URL goes on after the port", proxyForm}
	}
	if digits := u.Port(); digits != "" || strings.HasSuffix(u.Host, ":") {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return nil, &problem{"the URL's port is not a number from 1 to 65535", proxyForm}
		}
		port = uint16(n)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if reason := judgeGrant(netip.AddrPortFrom(addr, port)); reason != "" {
			return nil, &problem{"the URL's host cannot be a proxy: " + reason, "name the proxy of your network"}
		}
	}
	p := &Proxy{scheme: u.Scheme, host: u.Hostname(), port: port, roots: roots}
	if p.login, err = login(u); err != nil {
		return nil, err
	}
	p.rules = (&httpproxy.Config{HTTPSProxy: "http://proxy.invalid", NoProxy: rules}).ProxyFunc()
	return p, nil
}

func login(u *url.URL) (func() (string, string, bool), error) {
	if u.User == nil {
		return func() (string, string, bool) { return "", "", false }, nil
	}
	user := u.User.Username()
	password, _ := u.User.Password()
	socks := strings.HasPrefix(u.Scheme, "socks")
	switch {
	case user == "":
		return nil, &problem{"the URL has a password and no user", proxyForm}
	case socks && (len(user) > 255 || len(password) > 255):
		return nil, &problem{"the URL's user or password is longer than the 255 bytes that SOCKS has room for", "use an http or https proxy"}
	case !socks && strings.Contains(user, ":"):
		return nil, &problem{"the URL's user has a colon, which would end it", proxyForm}
	}
	return func() (string, string, bool) { return user, password, true }, nil
}

// String leaves the user and the password out.
func (p *Proxy) String() string { return p.scheme + "://" + p.address() }

func (p *Proxy) address() string { return net.JoinHostPort(p.host, strconv.Itoa(int(p.port))) }

// spares says that a target is to be dialled without the proxy. It never says that it
// may be: it is judged as if there were no proxy.
func (p *Proxy) spares(host string, port uint16) bool {
	target := net.JoinHostPort(strings.TrimSuffix(host, "."), strconv.Itoa(int(port)))
	u, err := p.rules(&url.URL{Scheme: "https", Host: target})
	return err == nil && u == nil
}

// CheckRules says what NewProxy would leave out of the rules.
func CheckRules(rules string) error {
	entries := strings.Split(rules, ",")
	for i, entry := range entries {
		if !isRule(strings.ToLower(strings.TrimSpace(entry))) {
			return &problem{fmt.Sprintf("entry %d of %d is no rule", i+1, len(entries)),
				"write names, .suffixes, addresses or ranges, with :PORT or without, or *, such as .corp.example,10.0.0.0/8,build:8080"}
		}
	}
	return nil
}

func isRule(entry string) bool {
	if entry == "*" {
		return true
	}
	if strings.Contains(entry, "/") {
		_, err := netip.ParsePrefix(entry)
		return err == nil
	}
	if addr, err := netip.ParseAddr(entry); err == nil {
		return addr.Zone() == ""
	}
	host := entry
	if name, port, err := net.SplitHostPort(entry); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return false
		}
		if addr, err := netip.ParseAddr(name); err == nil {
			return addr.Zone() == ""
		}
		host = name
	}
	host = strings.TrimPrefix(host, "*.")
	host = strings.TrimPrefix(host, ".")
	// What ends in a number is an address that could not be read, such as 10.1.
	return !slices.Contains(strings.Split(host, "."), "") && judgeSpelling(host) == ""
}
