package vault

import "sync"

// ceiling counts the records of each session, to end the keeping of them.
type ceiling struct {
	perSession, nameless int
	// denied is how many records there may be of a session's denials. They have a count
	// of their own: they are no reason to keep none of what it was allowed to do later.
	denied int

	mu   sync.Mutex
	kept map[sort]int
	// over counts, by run, what came after.
	over map[string]int
}

// sort is what is counted by itself; the session "" is all requests without one.
type sort struct {
	session string
	denied  bool
}

// take tells whether e is to be kept, and whether it is the first that is not.
func (c *ceiling) take(e Entry) (keep, first bool) {
	of, limit := sort{e.Session, !e.Allowed}, c.perSession
	switch {
	case e.Session == "":
		of, limit = sort{}, c.nameless
	case of.denied:
		limit = c.denied
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept, c.over = map[sort]int{}, map[string]int{}
	}
	c.kept[of]++
	if c.kept[of] <= limit {
		return true, false
	}
	c.over[e.Run] += max(e.Count, 1)
	return false, c.kept[of] == limit+1
}

func (c *ceiling) notKept(run string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over[run]
}
