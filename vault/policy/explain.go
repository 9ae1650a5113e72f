package policy

import (
	"fmt"
	"strings"
)

// Explanation is a verdict, and what became of every service for its host.
type Explanation struct {
	Verdict    Verdict
	Candidates []Candidate // in the order of the file
}

// Candidate is a service whose host and port are the request's.
type Candidate struct {
	Service *Service
	// Matches is set if the service covers the request, be it the best one or not.
	Matches bool
	Why     string
}

// Explain decides as Decide does, and says why.
func (s *Set) Explain(t Target, method, path string) Explanation {
	e := Explanation{Verdict: s.Decide(t, method, path)}
	all := readings(path)
	for _, service := range s.services {
		at := service.Target()
		if at.Port != t.Port || !Covers(at.Host, t.Host) {
			continue
		}
		c := Candidate{Service: service}
		c.Matches, c.Why = service.explain(method, all, e.Verdict.Service)
		e.Candidates = append(e.Candidates, c)
	}
	return e
}

func (s *Service) explain(method string, all []reading, chosen *Service) (matches bool, why string) {
	r := rule{service: s, path: newGlobs(s.Path)}
	within := 0
	for _, reading := range all {
		if r.path.in(reading.form).match(reading.path) {
			within++
		}
	}
	switch {
	case s.Disabled:
		return false, "it is disabled"
	case !r.covers(method):
		return false, "it covers " + strings.Join(s.Methods, ", ")
	case chosen == nil && len(all) == 0:
		return false, "the path cannot be read in one way"
	case s.Path == "":
	case within == 0:
		return false, "it covers " + s.Path
	case within < len(all):
		return false, fmt.Sprintf("the path is within %s in some readings only", s.Path)
	}
	switch {
	case s == chosen:
		return true, "it is the best match"
	case chosen == nil:
		return true, "it covers the path, and in some readings another service does"
	}
	return true, "service " + chosen.Name + " matches better"
}
