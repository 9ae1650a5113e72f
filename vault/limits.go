package vault

import (
	"cmp"
	"time"
)

// What a session may do when its grant does not say otherwise.
const (
	defaultConnections    = 1024
	defaultRequests       = 1024
	defaultRate           = 1000
	defaultCredentialRate = 500
	defaultMaxBody        = 64 << 30
	defaultIdle           = time.Hour
	defaultTotal          = 24 * time.Hour
)

// Limits are how much of the proxy one session may have, so that no run takes it away
// from another, and how much it may send out. A zero is the default of its field.
type Limits struct {
	// Connections are those of clients that are open at a time, tunnels among them.
	Connections int `json:"connections,omitempty"`
	// Requests are those under way at a time.
	Requests int `json:"requests,omitempty"`
	// Rate is requests per second, tunnels and refused ones among them.
	Rate int `json:"rate,omitempty"`
	// CredentialRate is requests per second that one credential goes into.
	CredentialRate int `json:"credential_rate,omitempty"`
	// MaxBody is the bytes of one request's body.
	MaxBody int64 `json:"max_body,omitempty"`
	// Idle is how long a request or an unread tunnel may go on without a byte either way.
	Idle time.Duration `json:"idle,omitempty"`
	// Total is how long one request may take from its head to the end of its answer.
	Total time.Duration `json:"total,omitempty"`
	// MaxBytesOut is how many bytes the session may send out, heads included; 0: any.
	MaxBytesOut int64 `json:"max_bytes_out,omitempty"`
	// HostMaxBytesOut is the same for single hosts, by their canonical names.
	HostMaxBytesOut map[string]int64 `json:"host_max_bytes_out,omitempty"`
}

// orDefaults fills in what is zero.
func (l Limits) orDefaults() Limits {
	l.Connections = cmp.Or(l.Connections, defaultConnections)
	l.Requests = cmp.Or(l.Requests, defaultRequests)
	l.Rate = cmp.Or(l.Rate, defaultRate)
	l.CredentialRate = cmp.Or(l.CredentialRate, defaultCredentialRate)
	l.MaxBody = cmp.Or(l.MaxBody, defaultMaxBody)
	l.Idle = cmp.Or(l.Idle, defaultIdle)
	l.Total = cmp.Or(l.Total, defaultTotal)
	return l
}
