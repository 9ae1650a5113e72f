package firewall

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// HostRule is one rule of the second lock: the walls on the host, which hold even
// if every rule inside the namespace were gone.
type HostRule struct {
	IPv6  bool
	Chain string
	// Hook marks a rule that is inserted at the top of a chain that is not ours.
	Hook bool
	// Alarm marks a rule that meets a packet only when the first lock does not hold.
	Alarm bool
	Spec  []string
	Why   string
}

// text is the rule as iptables-save prints it and iptables-restore reads it.
func (r HostRule) text() string {
	words := slices.Clone(r.Spec)
	for i, word := range words {
		if strings.Contains(word, " ") {
			words[i] = `"` + word + `"` // the comment; Validate lets no quote into it
		}
	}
	return strings.Join(words, " ")
}

// ErrNotAllowed says that this process may not change the host's rules, or that the
// host has none.
var ErrNotAllowed = errors.New("no right to change the host's rules")

// Chain is the name of the run's own chain on the host.
func (p Plan) Chain() string { return "AV-" + p.Run }

// comment marks a hook as av's own, so that prune removes no rule of anybody else's.
func (p Plan) comment() []string {
	return []string{"-m", "comment", "--comment", fmt.Sprintf("av run=%s owner=%s", p.Run, p.Owner)}
}

// Host gives the rules on the host. forward is the chain that sees packets which
// the host would pass on: DOCKER-USER where the engine made one, else FORWARD.
func (p Plan) Host(forward string) []HostRule {
	hook := func(v6 bool, chain, direction, verdict, why string) HostRule {
		spec := append([]string{direction, p.Bridge}, p.comment()...)
		// In IPv6's INPUT the host hears its own multicast too, and nothing tells it apart.
		alarm := direction == "-i" && verdict == "DROP" && chain != "INPUT"
		return HostRule{v6, chain, true, alarm, append(spec, "-j", verdict), why}
	}
	own, relay := p.Chain(), p.Relay.Addr().String()+"/32"
	return []HostRule{
		{false, own, false, false, []string{"-d", relay, "-p", "tcp", "-m", "tcp", "--dport", strconv.Itoa(int(p.Relay.Port())), "-j", "ACCEPT"}, "the relay is the one thing on the host that the box may reach"},
		{false, own, false, false, []string{"-s", relay, "-j", "DROP"}, "the host hears its own multicast on the bridge; dropped as well, but no sign that the box sent anything"},
		{false, own, false, true, []string{"-j", "DROP"}, "the host's other services listen on the gateway address too"},
		hook(false, "INPUT", "-i", own, "what comes from the box to the host"),
		hook(false, forward, "-i", "DROP", "nothing is passed on from the box"),
		hook(false, forward, "-o", "DROP", "nothing is passed on to the box"),
		hook(true, "INPUT", "-i", "DROP", "the box has no IPv6"),
		hook(true, "FORWARD", "-i", "DROP", "the box has no IPv6"),
	}
}

// Host puts the second lock on and takes it off. The first of its backends is the one
// that the host's own programs use.
type Host struct{ Backends []Backend }

// used gives the backends that walls go into: those that the engine has put its rules
// into, for there the decisions about its bridges fall; else the host's own.
func (h Host) used() ([]Backend, error) {
	var used []Backend
	for _, b := range h.Backends {
		there, err := b.hasEngine()
		if err != nil {
			return nil, err
		}
		if there {
			used = append(used, b)
		}
	}
	if used == nil {
		used = h.Backends[:1]
	}
	return used, nil
}

// Apply puts the walls up. What it did before a failure it takes back.
func (h Host) Apply(p Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	used, err := h.used()
	if err != nil {
		return err
	}
	for i, b := range used {
		err := b.apply(p)
		if err == nil {
			continue
		}
		failed := []error{fmt.Errorf("put up the host walls of run %s (%s): %w", p.Run, b.Name, err)}
		for _, b := range used[:i+1] {
			failed = append(failed, b.removeOneByOne(p))
		}
		return errors.Join(failed...)
	}
	return nil
}

// Remove takes the walls of one run down, wherever they are: the engine may have been
// moved to the other backend since they went up.
func (h Host) Remove(p Plan) error {
	used, err := h.used()
	if err != nil {
		return err
	}
	var failed []error
	for _, b := range h.Backends {
		ours := slices.ContainsFunc(used, func(u Backend) bool { return u.Name == b.Name })
		if !ours {
			standing, err := b.standing()
			failed = append(failed, err)
			ours = slices.ContainsFunc(standing, func(s Plan) bool { return s.Run == p.Run })
		}
		if !ours {
			continue
		}
		if err := b.remove(p); err != nil {
			failed = append(failed, fmt.Errorf("take down the host walls of run %s (%s): %w", p.Run, b.Name, err))
		}
	}
	return errors.Join(failed...)
}

// Standing lists the plans whose walls stand on the host and belong to owner, as
// their hooks tell. Only what taking them down needs is filled in.
func (h Host) Standing(owner string) ([]Plan, error) {
	seen := map[string]bool{}
	var plans []Plan
	for _, b := range h.Backends {
		standing, err := b.standing()
		if err != nil {
			return nil, err
		}
		for _, p := range standing {
			if p.Owner == owner && !seen[p.Run] {
				seen[p.Run] = true
				plans = append(plans, p)
			}
		}
	}
	return plans, nil
}
