package firewall

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Tables is what the host walls need of iptables, for one family's filter table.
type Tables interface {
	// Restore changes the table by lines of iptables-restore, all of them or none.
	Restore(lines []string) error
	// Save lists the table as iptables-save -c does: every rule with its counters.
	Save(ctx context.Context) ([]string, error)
	ChainExists(chain string) (bool, error)
	DeleteIfExists(chain string, spec ...string) error
	RemoveChain(chain string) error
}

// Backend is one of the two sets of tables that a kernel has, nft and legacy. A packet
// passes both; each program called iptables sees one. V6 is nil on a host without IPv6.
type Backend struct {
	Name   string
	V4, V6 Tables
}

func (b Backend) tables(v6 bool) Tables {
	if v6 {
		return b.V6
	}
	return b.V4
}

func (b Backend) families() []Tables {
	if b.V6 == nil {
		return []Tables{b.V4}
	}
	return []Tables{b.V4, b.V6}
}

// apply puts the walls up, in one step for each family: at no moment does a hook lead
// to half a chain.
func (b Backend) apply(p Plan) error {
	forward, err := b.forwardChain()
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
		if err := b.restore(v6, lines); err != nil {
			return err
		}
	}
	return nil
}

// remove takes the walls of one run down. What is gone already is a success.
func (b Backend) remove(p Plan) error {
	forward, err := b.forwardChain()
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
		if b.restore(v6, lines) != nil {
			// One line too many, because somebody was here before, undoes them all.
			return b.removeOneByOne(p)
		}
	}
	return nil
}

// restoreLines renders the rules of one family as lines of iptables-restore.
func (p Plan) restoreLines(forward string, v6 bool, verb func(HostRule) string) []string {
	var lines []string
	for _, r := range p.Host(forward) {
		if r.IPv6 == v6 {
			lines = append(lines, verb(r)+" "+r.text())
		}
	}
	return lines
}

func (b Backend) restore(v6 bool, lines []string) error {
	if t := b.tables(v6); t != nil {
		return t.Restore(lines)
	}
	return nil
}

// removeOneByOne takes down what is there of a run's walls.
func (b Backend) removeOneByOne(p Plan) error {
	var failed []error
	for _, forward := range []string{engineChain, "FORWARD"} {
		for _, r := range p.Host(forward) {
			t := b.tables(r.IPv6)
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
	there, err := b.V4.ChainExists(p.Chain())
	if there {
		err = b.V4.RemoveChain(p.Chain())
	}
	return errors.Join(append(failed, err)...)
}

// engineChain is the chain that an engine makes for its user's rules, before its own.
const engineChain = "DOCKER-USER"

func (b Backend) hasEngine() (bool, error) {
	there, err := b.V4.ChainExists(engineChain)
	if err != nil {
		return false, fmt.Errorf("look for the engine's chains (%s): %w", b.Name, err)
	}
	return there, nil
}

func (b Backend) forwardChain() (string, error) {
	there, err := b.hasEngine()
	if there {
		return engineChain, err
	}
	return "FORWARD", err
}

var hookLine = regexp.MustCompile(`^\[\d+:\d+\] -A (?:INPUT|FORWARD|DOCKER-USER) -[io] (\S+) .*--comment "av run=([0-9a-f]{8}) owner=(\S+)"`)

// standing lists the plans whose hooks are in this backend.
func (b Backend) standing() ([]Plan, error) {
	var plans []Plan
	for _, t := range b.families() {
		lines, err := t.Save(context.Background())
		if err != nil {
			return nil, fmt.Errorf("list host walls (%s): %w", b.Name, err)
		}
		for _, line := range lines {
			if m := hookLine.FindStringSubmatch(line); m != nil {
				plans = append(plans, Plan{Run: m[2], Owner: m[3], Bridge: m[1]})
			}
		}
	}
	return plans, nil
}
