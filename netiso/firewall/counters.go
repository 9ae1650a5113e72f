package firewall

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The rules at which packets are counted.
const (
	refuseUDP  = "-A OUTPUT -p udp -j REJECT --reject-with icmp-port-unreachable"
	refuseICMP = "-A OUTPUT -p icmp -j REJECT --reject-with icmp-port-unreachable"
	refuseRest = "-A OUTPUT -j REJECT --reject-with icmp-port-unreachable"
)

func (p Plan) catchTCP() string {
	return "-A OUTPUT -p tcp -j REDIRECT --to-ports " + strconv.Itoa(int(p.CatchPort))
}

// Refused is what a run's walls have stopped, in packets of IPv4. The box has no IPv6
// address, and what its kernel says by IPv6 of its own accord is no news.
type Refused struct {
	UDP, ICMP int64
	Other     int64 // of every other protocol
	// CaughtTCP counts the connections that went past the proxy's variables, and were
	// caught and judged all the same.
	CaughtTCP int64
	// HostDropped is what came out of the box and was stopped by the second lock. It is
	// 0 as long as the first one holds.
	HostDropped int64
}

// ErrChanged says that walls are not those that were put up.
var ErrChanged = errors.New("the walls in the box are not what they were")

// Counted reads what the namespace's walls have stopped from lines of iptables-save -c.
// Where one of the rules is not there it is ErrChanged.
func (p Plan) Counted(saved []string) (Refused, error) {
	packets := map[string]int64{}
	for _, line := range saved {
		if n, rule, ok := counter(line); ok {
			packets[rule] += n
		}
	}
	for _, r := range p.Namespace() {
		if _, there := packets[r.Spec]; !there && !r.IPv6 && strings.HasPrefix(r.Spec, "-A ") {
			return Refused{}, fmt.Errorf("%w: the rule %q is gone", ErrChanged, r.Spec)
		}
	}
	return Refused{
		UDP: packets[refuseUDP], ICMP: packets[refuseICMP],
		Other: packets[refuseRest], CaughtTCP: packets[p.catchTCP()],
	}, nil
}

// counter takes a rule as iptables-save -c lists it apart: "[3:180] -A OUTPUT …".
func counter(line string) (packets int64, rule string, ok bool) {
	count, rule, ok := strings.Cut(strings.TrimPrefix(line, "["), "] ")
	number, _, both := strings.Cut(count, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	return n, rule, ok && both && err == nil
}

// Dropped counts what came out of the run's box and was stopped on the host, in
// packets. Where a rule is missing it is an error.
func (h Host) Dropped(ctx context.Context, p Plan) (int64, error) {
	used, err := h.used()
	if err != nil {
		return 0, err
	}
	var all int64
	for _, b := range used {
		n, err := b.dropped(ctx, p)
		if err != nil {
			return 0, fmt.Errorf("count what the host walls of run %s stopped: %w", p.Run, err)
		}
		all += n
	}
	return all, nil
}

func (b Backend) dropped(ctx context.Context, p Plan) (all int64, err error) {
	forward, err := b.forwardChain()
	if err != nil {
		return 0, err
	}
	packets := map[string]int64{}
	for _, t := range b.families() {
		lines, err := t.Save(ctx)
		if err != nil {
			return 0, err
		}
		for _, line := range lines {
			if n, rule, ok := counter(line); ok {
				packets[rule] += n
			}
		}
	}
	for _, r := range p.Host(forward) {
		if !r.Alarm || b.tables(r.IPv6) == nil {
			continue
		}
		n, there := packets["-A "+r.Chain+" "+r.text()]
		if !there {
			return 0, fmt.Errorf("the rule %q is gone", "-A "+r.Chain+" "+r.text())
		}
		all += n
	}
	return all, nil
}
