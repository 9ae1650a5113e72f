package policy_test

import (
	"fmt"
	"testing"

	"github.com/av-project/av/vault/policy"
)

// manyHosts and onePlace are n rules: on a host each, and all on one with paths of their own.
func manyHosts(n int) (services []policy.Service) {
	for i := range n {
		services = append(services, bearer(fmt.Sprint("s", i), fmt.Sprintf("h%d.a.test", i), "/v1/*", "KEY"))
	}
	return services
}

func onePlace(n int) (services []policy.Service) {
	for i := range n {
		services = append(services, bearer(fmt.Sprint("s", i), "a.test", fmt.Sprintf("/v%d/things%d/*/x%d", i%10, i, i%7), "KEY"))
	}
	return services
}

// oneEnd is n rules whose paths differ at their ends alone.
func oneEnd(n int) (services []policy.Service) {
	for i := range n {
		services = append(services, bearer(fmt.Sprint("s", i), "a.test", fmt.Sprintf("/v1/*/end%d", i), "KEY"))
	}
	return services
}

func BenchmarkCompile(b *testing.B) {
	for name, services := range map[string][]policy.Service{"hosts": manyHosts(1000), "paths": onePlace(1000)} {
		b.Run(name+"=1000", func(b *testing.B) {
			for b.Loop() {
				if _, err := policy.Compile(services, nil, policy.Deny); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecide reports how much longer a decision among 10,000 rules takes than one
// among ten: 1,000 times as long is what looking at each would take.
func BenchmarkDecide(b *testing.B) {
	for _, shape := range shapes {
		var few float64
		for _, n := range []int{10, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/rules=%d", shape.name, n), func(b *testing.B) {
				set, ask := compiled(b, shape.services(n)...), shape.ask(n)
				for i := 0; b.Loop(); i++ {
					q := ask[i%len(ask)]
					if v := set.Decide(q.target, "GET", q.path); !v.Allow {
						b.Fatalf("%v%s: %+v", q.target, q.path, v)
					}
				}
				each := float64(b.Elapsed()) / float64(b.N)
				if n == 10 {
					few = each
				}
				if n == 10_000 && few > 0 {
					b.ReportMetric(each/few, "10000:10")
				}
			})
		}
	}
}

type question struct {
	target policy.Target
	path   string
}

type shape struct {
	name     string
	services func(n int) []policy.Service
	question func(i int) question
}

var shapes = []shape{
	{"hosts", manyHosts, func(i int) question {
		return question{policy.Target{Host: fmt.Sprintf("h%d.a.test", i), Port: 443}, "/v1/x"}
	}},
	{"paths", onePlace, func(i int) question { return question{web, fmt.Sprintf("/v%d/things%d/a/b/x%d", i%10, i, i%7)} }},
	{"ends", oneEnd, func(i int) question { return question{web, fmt.Sprintf("/v1/a/b/end%d", i)} }},
	{"encoded", onePlace, func(i int) question { return question{web, fmt.Sprintf("/v%d/things%d/a%%20b/x%d", i%10, i, i%7)} }},
}

// ask is a question for each of ten rules, from all over the file.
func (s shape) ask(n int) (questions []question) {
	for i := 0; i < n; i += n / 10 {
		questions = append(questions, s.question(i))
	}
	return questions
}

// What the benchmark measures in time, counted. Rules that differ in the middle of their
// paths alone are the control: of those each is looked at, and the count must show it.
func TestDecisionLooksAtFewRulesHoweverManyThereAre(t *testing.T) {
	const tooMuch = 50 // of the 1,000 that looking at each rule costs
	for _, s := range shapes {
		if ratio := growth(t, s); ratio > tooMuch {
			t.Errorf("%s: looks at %.0f times as much among 10,000 rules as among ten", s.name, ratio)
		}
	}
	if ratio := growth(t, inTheMiddle); ratio < tooMuch {
		t.Errorf("the control: %.0f times as much", ratio)
	}
}

var inTheMiddle = shape{"middles", func(n int) (services []policy.Service) {
	for i := range n {
		services = append(services, bearer(fmt.Sprint("s", i), "a.test", fmt.Sprintf("/v1/*/m%d/*", i), "KEY"))
	}
	return services
}, func(i int) question { return question{web, fmt.Sprintf("/v1/a/m%d/b", i)} }}

// growth is how much more a decision looks at among 10,000 rules than among ten.
func growth(t *testing.T, s shape) float64 {
	looks := func(n int) (all int) {
		set := compiled(t, s.services(n)...)
		for _, q := range s.ask(n) {
			if v := set.Decide(q.target, "GET", q.path); !v.Allow {
				t.Fatalf("%v%s: %+v", q.target, q.path, v)
			}
			all += policy.Looks(set, q.target, q.path)
		}
		return all
	}
	return float64(looks(10_000)) / float64(looks(10))
}
