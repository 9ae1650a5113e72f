// Package policy says where a session's requests may go: a services file in,
// verdicts out. It reads nothing, resolves nothing and keeps no state, so the same
// input always gives the same verdict.
package policy

import (
	"net"
	"strconv"
)

// Target is where a request wants to go, in canonical form: the host is a lower
// case A-label name without trailing dot, or an IP literal as netip prints it.
type Target struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// String is host:port, with brackets around IPv6.
func (t Target) String() string {
	return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}
