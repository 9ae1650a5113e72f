package vault

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/av-project/av/vault/policy"
)

// Beyond these a limit is a slip of the finger.
const (
	maxCount      = 100_000
	maxRate       = 1_000_000
	minLimitTime  = time.Second
	maxHostLimits = 1000 // hosts with a budget of one grant
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

// DefaultLimits are what a session has when its grant does not say otherwise.
func DefaultLimits() Limits {
	return Limits{
		Connections:    1024,
		Requests:       1024,
		Rate:           1000,
		CredentialRate: 500,
		MaxBody:        64 << 30,
		Idle:           time.Hour,
		Total:          24 * time.Hour,
	}
}

// orDefaults fills in what is zero.
func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	l.Connections = cmp.Or(l.Connections, d.Connections)
	l.Requests = cmp.Or(l.Requests, d.Requests)
	l.Rate = cmp.Or(l.Rate, d.Rate)
	l.CredentialRate = cmp.Or(l.CredentialRate, d.CredentialRate)
	l.MaxBody = cmp.Or(l.MaxBody, d.MaxBody)
	l.Idle = cmp.Or(l.Idle, d.Idle)
	l.Total = cmp.Or(l.Total, d.Total)
	return l
}

// Check refuses what no session is opened with.
func (l Limits) Check() error {
	for _, count := range []struct {
		name     string
		is, most int
	}{
		{"connections", l.Connections, maxCount},
		{"requests", l.Requests, maxCount},
		{"rate", l.Rate, maxRate},
		{"credential_rate", l.CredentialRate, maxRate},
	} {
		if count.is < 0 || count.is > count.most {
			return &problem{fmt.Sprintf("a limit of %s=%d is refused", count.name, count.is), fmt.Sprintf("it is from 1 to %d", count.most)}
		}
	}
	for _, length := range []struct {
		name string
		is   time.Duration
	}{{"idle", l.Idle}, {"total", l.Total}} {
		// No session lasts longer than maxTTL. 0 is the default.
		if length.is != 0 && (length.is < minLimitTime || length.is > maxTTL) {
			return &problem{fmt.Sprintf("a limit of %s=%v is refused", length.name, length.is), "it is from 1 second to 7 days"}
		}
	}
	if l.MaxBody < 0 {
		return &problem{fmt.Sprintf("a limit of max_body=%d is refused", l.MaxBody), "leave it out for the default"}
	}
	if l.MaxBytesOut < 0 {
		return &problem{fmt.Sprintf("a limit of max_bytes_out=%d is refused", l.MaxBytesOut), "leave it out for no bound"}
	}
	return l.checkHosts()
}

func (l Limits) checkHosts() error {
	if n := len(l.HostMaxBytesOut); n > maxHostLimits {
		return &problem{fmt.Sprintf("a budget for each of %d hosts is refused", n), fmt.Sprintf("at most %d have one", maxHostLimits)}
	}
	for _, host := range slices.Sorted(maps.Keys(l.HostMaxBytesOut)) {
		// Under a second spelling nothing would ever be counted, and all would go out.
		canonical, err := policy.ParseHost(host)
		if err != nil {
			return fmt.Errorf("max_bytes_out of a host: %w", err)
		}
		if canonical != host {
			return &problem{fmt.Sprintf("max_bytes_out of the host %q is refused", clip(host, maxName)), "name it as " + canonical}
		}
		if n := l.HostMaxBytesOut[host]; n <= 0 {
			return &problem{fmt.Sprintf("a limit of max_bytes_out@%s=%d is refused", host, n), "leave it out for no bound"}
		}
	}
	return nil
}
