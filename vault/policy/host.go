package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	maxName  = 253 // octets of a DNS name without its trailing dot
	maxLabel = 63
	// maxTarget bounds what is looked at: a name of maxName octets is no longer than
	// this in any script, and decoding "xn--" costs the square of the length.
	maxTarget = 4*maxName + len("[]:65535")
)

// What people write who think of something larger than a host.
var (
	errURL      error = &problem{"it is a URL, and a host is wanted", "leave out the scheme and the path: HOST, or HOST:PORT"}
	errWildcard error = &problem{"it is a wildcard, and a host is wanted", "name each host"}
)

// ParseTarget reads "HOST[:PORT]" as people write it in --allow and in services, and
// as a client writes it in a request; both must come out the same, or policy would
// judge one host and the proxy dial another.
func ParseTarget(s string, defaultPort uint16) (Target, error) {
	if len(s) > maxTarget {
		return Target{}, fmt.Errorf("refusing a host of %d bytes: longer than any name", len(s))
	}
	if strings.Contains(s, "*") && !strings.Contains(s, "://") {
		return Target{}, fmt.Errorf("refusing %q: %w", s, errWildcard)
	}
	t, err := readTarget(s, defaultPort)
	if err != nil {
		return Target{}, fmt.Errorf("refusing %q: %w", s, err)
	}
	return t, nil
}

// ParseHost reads a host without a port and returns its canonical form: what is counted by
// host has one name for each.
func ParseHost(s string) (string, error) {
	t, err := ParseTarget(s, DefaultPort)
	if err != nil {
		return "", err
	}
	// A port that no default changes is one that was written.
	if other, _ := ParseTarget(s, DefaultPort+1); other.Port == t.Port {
		return "", fmt.Errorf("refusing %q: it has a port, and all ports of a host are meant", s)
	}
	return t.Host, nil
}

func readTarget(s string, defaultPort uint16) (Target, error) {
	if strings.Contains(s, "://") {
		return Target{}, errURL
	}
	host, port, err := splitPort(s, defaultPort)
	if err != nil {
		return Target{}, err
	}
	host, err = canonicalHost(host)
	return Target{host, port}, err
}

// splitPort takes the port off s. An IPv6 address stands in brackets when a port
// follows; without brackets all of its colons are its own.
func splitPort(s string, defaultPort uint16) (host string, port uint16, err error) {
	if inside, rest, bracketed := cutBrackets(s); bracketed {
		if !strings.Contains(inside, ":") {
			return "", 0, errors.New("brackets are for IPv6 addresses")
		}
		if rest == "" {
			return inside, defaultPort, needPort(defaultPort)
		}
		if rest[0] != ':' {
			return "", 0, errors.New("only a port may follow the brackets")
		}
		port, err = parsePort(rest[1:])
		return inside, port, err
	}
	if strings.Count(s, ":") > 1 {
		return s, defaultPort, needPort(defaultPort)
	}
	host, digits, given := strings.Cut(s, ":")
	if !given {
		return host, defaultPort, needPort(defaultPort)
	}
	port, err = parsePort(digits)
	return host, port, err
}

func cutBrackets(s string) (inside, rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return "", "", false
	}
	return strings.Cut(s[1:], "]")
}

func needPort(port uint16) error {
	if port == 0 {
		return errors.New("it needs a port")
	}
	return nil
}

// parsePort takes digits alone: strconv would let "+443" through, and "0443" is a
// second spelling of a port.
func parsePort(s string) (uint16, error) {
	if s == "" || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, errors.New("the port is not a number from 1 to 65535")
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, errors.New("the port is not a number from 1 to 65535")
	}
	return uint16(n), nil
}

// canonicalHost is the one spelling of host.
func canonicalHost(host string) (string, error) {
	if strings.Contains(host, ":") {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return "", errors.New("not an IPv6 address")
		}
		if addr.Zone() != "" {
			return "", errors.New("an address with a zone means another host on every machine")
		}
		// ::ffff:192.0.2.1 is dialled as 192.0.2.1, so it is that.
		return addr.Unmap().String(), nil
	}
	// One dot at the end only says that the name is complete.
	name, err := canonicalName(strings.TrimSuffix(host, "."))
	if err != nil {
		return "", err
	}
	if endsInNumber(name) {
		// 0x7f.1, 127.1, 2130706433, 0177.0.0.1: resolvers read these as addresses,
		// each in a way of its own. netip takes the canonical dotted quad alone.
		addr, err := netip.ParseAddr(name)
		if err != nil || name != strings.TrimSuffix(host, ".") {
			return "", errors.New("neither a name nor the usual spelling of an IPv4 address")
		}
		return addr.String(), nil
	}
	return name, nil
}

var errNotIDNA = errors.New("not a valid internationalised name")

// canonicalName lower-cases an ASCII name, and hands all others to IDNA. Names
// that IDNA would refuse but DNS serves (an underscore, "r3---sn") stay usable that
// way; a label that says it is IDNA ("xn--") must be good IDNA.
func canonicalName(host string) (string, error) {
	if host == "" {
		return "", errors.New("there is no host name")
	}
	if !utf8.ValidString(host) {
		return "", errors.New("not valid UTF-8")
	}
	name := strings.ToLower(host)
	// The host as it was written, because ToLower folds the Kelvin sign into k.
	if !isASCII(host) || strings.Contains(name, "xn--") {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", errNotIDNA
		}
		// A mapping can make a name that would itself be refused, such as one that reads from
		// both sides: what is judged has to be what would be read again.
		if again, err := idna.Lookup.ToASCII(ascii); err != nil || again != ascii {
			return "", errNotIDNA
		}
		name = ascii
	}
	if len(name) > maxName {
		return "", fmt.Errorf("the name is longer than %d characters", maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return "", err
		}
	}
	return name, nil
}

func checkLabel(label string) error {
	if label == "" {
		return errors.New("there is nothing between two dots")
	}
	if len(label) > maxLabel {
		return fmt.Errorf("a part of the name is longer than %d characters", maxLabel)
	}
	for _, c := range []byte(label) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return fmt.Errorf("%q cannot be in a host name", c)
		}
	}
	if label[0] == '-' || label[len(label)-1] == '-' {
		return errors.New("a part of the name begins or ends with a hyphen")
	}
	return nil
}

// endsInNumber tells whether some resolver would read name as an IPv4 address: its
// last label is decimal, octal or hexadecimal.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
