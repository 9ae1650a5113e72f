package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/av-project/av/netiso"
)

// stopped is what never became a request: packets that the walls in the box refused.
type stopped struct {
	UDP       int64 `json:"udp"`
	ICMP      int64 `json:"icmp"`
	Other     int64 `json:"other"`
	CaughtTCP int64 `json:"tcp_caught"` // connections; each was judged, and is among the requests
}

// stop takes in what the walls have counted. What is not known stays nil, and is null.
func (r *receipt) stop(n netiso.Refused, err error) {
	if err == nil {
		r.Refused = &stopped{n.UDP, n.ICMP, n.Other, n.CaughtTCP}
	}
	if n.HostDropped >= 0 {
		r.HostDropped = &n.HostDropped
	}
	r.wallsChanged = errors.Is(err, netiso.ErrWallsChanged)
}

// describe is the end of the summary's line; empty where nothing is known or nothing
// was refused.
func (s *stopped) describe() string {
	if s == nil || s.UDP+s.ICMP+s.Other == 0 {
		return ""
	}
	var kinds []string
	for _, kind := range []struct {
		n    int64
		name string
	}{{s.UDP, "UDP"}, {s.ICMP, "ICMP"}, {s.Other, "other"}} {
		if kind.n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", kind.n, kind.name))
		}
	}
	words := kinds[0]
	if last := len(kinds) - 1; last > 0 {
		words = strings.Join(kinds[:last], ", ") + " and " + kinds[last]
	}
	if s.UDP+s.ICMP+s.Other == 1 {
		return "; " + words + " packet refused"
	}
	return "; " + words + " packets refused"
}

// alarms is what is said even to those who want to hear nothing: that a wall fell.
func (r *receipt) alarms() (lines []string) {
	if r.wallsChanged {
		lines = append(lines, "warning: "+netiso.ErrWallsChanged.Error()+" when the run began: somebody with power over this machine's containers has changed them")
	}
	if r.HostDropped != nil && *r.HostDropped > 0 {
		lines = append(lines, fmt.Sprintf("warning: the walls in the box did not hold: %s got out of it, as far as the walls on the host, and no further; please report it as SECURITY.md says", count(int(*r.HostDropped), "packet")))
	}
	return lines
}
