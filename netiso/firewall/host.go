package firewall

import (
	"errors"
	"fmt"
	"regexp"
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
	Spec []string
	Why  string
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
		return HostRule{v6, chain, true, append(spec, "-j", verdict), why}
	}
	own := p.Chain()
	return []HostRule{
		{false, own, false, []string{"-d", p.Relay.Addr().String() + "/32", "-p", "tcp", "-m", "tcp", "--dport", strconv.Itoa(int(p.Relay.Port())), "-j", "ACCEPT"}, "the relay is the one thing on the host that the box may reach"},
		{false, own, false, []string{"-j", "DROP"}, "the host's other services listen on the gateway address too"},
		hook(false, "INPUT", "-i", own, "what comes from the box to the host"),
		hook(false, forward, "-i", "DROP", "nothing is passed on from the box"),
		hook(false, forward, "-o", "DROP", "nothing is passed on to the box"),
		hook(true, "INPUT", "-i", "DROP", "the box has no IPv6"),
		hook(true, "FORWARD", "-i", "DROP", "the box has no IPv6"),
	}
}

// Tables is what the host walls need of iptables, for one family's filter table.
type Tables interface {
	// Restore changes the table by lines of iptables-restore, all of them or none.
	Restore(lines []string) error
	ChainExists(chain string) (bool, error)
	DeleteIfExists(chain string, spec ...string) error
	RemoveChain(chain string) error
	List(chain string) ([]string, error)
}

// Host puts the second lock on and takes it off. V6 is nil on a host without IPv6.
type Host struct{ V4, V6 Tables }

func (h Host) tables(v6 bool) Tables {
	if v6 {
		return h.V6
	}
	return h.V4
}

// Apply puts the walls up, in one step for each family: at no moment does a hook lead
// to half a chain. What it did before a failure it takes back.
func (h Host) Apply(p Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	forward, err := h.forwardChain()
	if err != nil {
		return err
	}
	for _, v6 := range []bool{false, true} {
		lines := p.restoreLines(forward, v6, func(r HostRule) string {
			if r.Hook {
				return "-I " + r.Chain + " 1"
			}
			return "-A " + r.Chain
		})
		if !v6 {
			lines = append([]string{"-N " + p.Chain()}, lines...)
		}
		if err := h.restore(v6, lines); err != nil {
			return errors.Join(fmt.Errorf("put up the host walls of run %s: %w", p.Run, err), h.removeOneByOne(p))
		}
	}
	return nil
}

// Remove takes the walls of one run down. What is gone already is a success.
func (h Host) Remove(p Plan) error {
	forward, err := h.forwardChain()
	if err != nil {
		return err
	}
	for _, v6 := range []bool{false, true} {
		var lines []string
		for _, line := range p.restoreLines(forward, v6, func(r HostRule) string { return "-D " + r.Chain }) {
			if !strings.HasPrefix(line, "-D "+p.Chain()) {
				lines = append(lines, line)
			}
		}
		if !v6 {
			lines = append(lines, "-F "+p.Chain(), "-X "+p.Chain())
		}
		if h.restore(v6, lines) != nil {
			// One line too many, because somebody was here before, undoes them all.
			return h.removeOneByOne(p)
		}
	}
	return nil
}

// restoreLines renders the rules of one family as lines of iptables-restore.
func (p Plan) restoreLines(forward string, v6 bool, verb func(HostRule) string) []string {
	var lines []string
	for _, r := range p.Host(forward) {
		if r.IPv6 != v6 {
			continue
		}
		line := verb(r)
		for _, word := range r.Spec {
			if strings.Contains(word, " ") {
				word = `"` + word + `"` // the comment; Validate lets no quote into it
			}
			line += " " + word
		}
		lines = append(lines, line)
	}
	return lines
}

func (h Host) restore(v6 bool, lines []string) error {
	if t := h.tables(v6); t != nil {
		return t.Restore(lines)
	}
	return nil
}

// removeOneByOne takes down what is there of a run's walls.
func (h Host) removeOneByOne(p Plan) error {
	var failed []error
	for _, forward := range []string{"DOCKER-USER", "FORWARD"} {
		for _, r := range p.Host(forward) {
			t := h.tables(r.IPv6)
			if !r.Hook || t == nil {
				continue
			}
			if there, err := t.ChainExists(r.Chain); err != nil || !there {
				failed = append(failed, err)
				continue
			}
			if r.Spec[len(r.Spec)-1] == p.Chain() {
				// A rule that names a chain which is gone cannot be there, nor be asked for.
				if there, err := t.ChainExists(p.Chain()); err != nil || !there {
					failed = append(failed, err)
					continue
				}
			}
			failed = append(failed, t.DeleteIfExists(r.Chain, r.Spec...))
		}
	}
	there, err := h.V4.ChainExists(p.Chain())
	if there {
		err = h.V4.RemoveChain(p.Chain())
	}
	if err := errors.Join(append(failed, err)...); err != nil {
		return fmt.Errorf("take down the host walls of run %s: %w", p.Run, err)
	}
	return nil
}

func (h Host) forwardChain() (string, error) {
	there, err := h.V4.ChainExists("DOCKER-USER")
	if err != nil {
		return "", fmt.Errorf("look for the engine's chains: %w", err)
	}
	if there {
		return "DOCKER-USER", nil
	}
	return "FORWARD", nil
}

var hookLine = regexp.MustCompile(`^-A \S+ -[io] (\S+) .*--comment "av run=([0-9a-f]{8}) owner=(\S+)"`)

// Standing lists the plans whose walls stand on the host and belong to owner, as
// their hooks tell. Only what taking them down needs is filled in.
func (h Host) Standing(owner string) ([]Plan, error) {
	seen := map[string]bool{}
	var plans []Plan
	for _, t := range []Tables{h.V4, h.V6} {
		if t == nil {
			continue
		}
		for _, chain := range []string{"INPUT", "FORWARD", "DOCKER-USER"} {
			if there, err := t.ChainExists(chain); err != nil || !there {
				if err != nil {
					return nil, fmt.Errorf("list host walls: %w", err)
				}
				continue
			}
			lines, err := t.List(chain)
			if err != nil {
				return nil, fmt.Errorf("list host walls: %w", err)
			}
			for _, line := range lines {
				m := hookLine.FindStringSubmatch(line)
				if m == nil || m[3] != owner || seen[m[2]] {
					continue
				}
				seen[m[2]] = true
				plans = append(plans, Plan{Run: m[2], Owner: owner, Bridge: m[1]})
			}
		}
	}
	return plans, nil
}
