package vault

import "sync"

// ceiling counts the records of each session, to end the keeping of them.
type ceiling struct {
	perSession, nameless int

	mu   sync.Mutex
	kept map[string]int // by session; "" is all requests without one
	// over counts, by run, what came after.
	over map[string]int
}

// take tells whether e is to be kept, and whether it is the first that is not.
func (c *ceiling) take(e Entry) (keep, first bool) {
	limit := c.perSession
	if e.Session == "" {
		limit = c.nameless
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept, c.over = map[string]int{}, map[string]int{}
	}
	c.kept[e.Session]++
	if c.kept[e.Session] <= limit {
		return true, false
	}
	c.over[e.Run]++
	return false, c.kept[e.Session] == limit+1
}

func (c *ceiling) notKept(run string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over[run]
}
