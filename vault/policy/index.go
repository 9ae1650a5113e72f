package policy

import (
	"cmp"
	"slices"
)

// rule is an enabled service, ready to be matched.
type rule struct {
	service *Service
	order   int // in the file
	path    globs
	verdict Verdict
}

func (r *rule) covers(method string) bool {
	return len(r.service.Methods) == 0 || slices.Contains(r.service.Methods, method)
}

// place is everything for one host, or for one wildcard.
type place struct {
	rules []*rule // in the order of the file
	// only is set if one rule covers all that there is: the usual case, and worth no search.
	only *rule
	// paths is set if a path decides anything.
	paths bool
	index [forms]*index
}

// index finds the rules for a path without looking at all of them: by the literal text at
// both ends of their globs. Only rules that differ in the middle alone share an entry.
type index struct {
	byEnds map[ends][]*rule // in the order of the file
	// prefixes are the lengths of prefixes, longest first, each with those of the
	// suffixes that go with it.
	prefixes []prefixLength
}

type ends struct{ prefix, suffix string }

type prefixLength struct {
	length   int
	suffixes []int
}

// ready makes the indexes, once all rules are there.
func (p *place) ready() {
	p.paths = slices.ContainsFunc(p.rules, func(r *rule) bool { return r.service.Path != "" })
	encoded := slices.ContainsFunc(p.rules, func(r *rule) bool { return r.path.encoded != nil })
	for f := range p.index {
		if f > 0 && !encoded {
			p.index[f] = p.index[0] // the same in every form
			continue
		}
		p.index[f] = newIndex(p.rules, form(f))
	}
	if r := p.rules[0]; len(p.rules) == 1 && r.service.Path == "" && len(r.service.Methods) == 0 {
		p.only = r
	}
}

func newIndex(rules []*rule, f form) *index {
	x := &index{byEnds: make(map[ends][]*rule, len(rules))}
	lengths := map[int]map[int]bool{}
	for _, r := range rules {
		g := r.path.in(f)
		key := ends{g.prefix, g.suffix}
		x.byEnds[key] = append(x.byEnds[key], r)
		if lengths[len(g.prefix)] == nil {
			lengths[len(g.prefix)] = map[int]bool{}
		}
		lengths[len(g.prefix)][len(g.suffix)] = true
	}
	for length, suffixes := range lengths {
		p := prefixLength{length: length}
		for s := range suffixes {
			p.suffixes = append(p.suffixes, s)
		}
		x.prefixes = append(x.prefixes, p)
	}
	slices.SortFunc(x.prefixes, func(a, b prefixLength) int { return cmp.Compare(b.length, a.length) })
	return x
}

// best is the rule with the longest literal prefix, and of those the first in the file, that
// covers path and fits; nil if none does.
func (x *index) best(f form, path string, fits func(*rule) bool) *rule {
	for _, p := range x.prefixes {
		if p.length > len(path) {
			continue
		}
		var best *rule
		for _, s := range p.suffixes {
			if p.length+s > len(path) {
				continue
			}
			for _, r := range x.byEnds[ends{path[:p.length], path[len(path)-s:]}] {
				if best != nil && best.order < r.order {
					break
				}
				if fits(r) && r.path.in(f).match(path) {
					best = r
					break
				}
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// places are those of one target: the exact host's and the wildcard's, nil where there is none.
type places [2]*place

func (p places) none() bool { return p[0] == nil && p[1] == nil }

// alone tells whether there is one rule and no more.
func (p places) alone() bool {
	rules := 0
	for _, place := range p {
		if place != nil {
			rules += len(place.rules)
		}
	}
	return rules == 1
}

// nearest is the first rule of the nearest place.
func (p places) nearest() *rule {
	if p[0] != nil {
		return p[0].rules[0]
	}
	return p[1].rules[0]
}

// best is the rule for a reading: an exact host's before a wildcard's, however long its path.
func (p places) best(r reading, fits func(*rule) bool) *rule {
	for _, place := range p {
		if place == nil {
			continue
		}
		if best := place.index[r.form].best(r.form, r.path, fits); best != nil {
			return best
		}
	}
	return nil
}

// judge is the rule for a request. It is not agreed if another reading of the path leads
// to another rule or to none.
func (p places) judge(method, path string) (r *rule, agreed bool) {
	fits := func(r *rule) bool { return r.covers(method) }
	switch {
	case p[0] != nil && p[0].only != nil:
		return p[0].only, true
	case p[0] == nil && p[1].only != nil:
		return p[1].only, true
	case (p[0] == nil || !p[0].paths) && (p[1] == nil || !p[1].paths):
		return p.best(reading{sent, "/"}, fits), true
	}
	all := readings(path)
	if len(all) == 0 {
		return nil, false
	}
	r = p.best(all[0], fits)
	for _, other := range all[1:] {
		if p.best(other, fits) != r {
			return r, false
		}
	}
	return r, true
}
