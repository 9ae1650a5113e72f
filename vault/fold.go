package vault

import (
	"sync"
	"time"

	"github.com/av-project/av/vault/store"
)

const (
	// foldWindow is how long one row takes up the denials that are like its first.
	foldWindow = time.Minute
	// maxFolds is how many rows take some up at a time.
	maxFolds = 1024
)

// folds makes one record of a denial that comes again and again: an agent is refused as
// fast as it can ask, and would push everything else out of the history. Nothing that was
// carried is folded, and of what is, each is counted.
type folds struct {
	mu     sync.Mutex
	byKind map[kind]*fold
}

// kind is what denials have in common that are folded. The path is not in it: whoever
// wants another row would only have to ask for another path.
type kind struct {
	session, run, method, host string
	port                       uint16
	service, rule, reason      string
	status                     int
}

// fold is a row, and what is still to be added to it.
type fold struct {
	first store.Entry
	row   int64 // 0: not yet written; the writer's alone

	// Of folds.mu.
	more   int
	last   time.Time
	queued bool // the writer is going to look
}

// foldable tells whether e may share its row. What was dialled has bytes and times of
// its own.
func foldable(e Entry) bool { return !e.Allowed && e.Upstream == "" && len(e.Keys) == 0 }

// take puts e into the row of its kind, if there is one, and tells whether the writer
// has to be told so.
func (f *folds) take(e Entry) (into *fold, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	into = f.byKind[kindOf(e)]
	if into == nil {
		return nil, false
	}
	if since := e.Time.Sub(into.first.Time); since < 0 || since >= foldWindow {
		return nil, false
	}
	into.more += e.Count
	into.last = e.Time
	tell, into.queued = !into.queued, true
	return into, tell
}

// open makes e the first of its row. The writer is told by the caller.
func (f *folds) open(e Entry) *fold {
	n := &fold{first: e, more: e.Count, last: e.Time, queued: true}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKind == nil || len(f.byKind) >= maxFolds {
		// Those that are queued are written all the same.
		f.byKind = map[kind]*fold{}
	}
	f.byKind[kindOf(e)] = n
	return n
}

// settle takes what is to be written: the first with the count and the last time of all
// since the last settling.
func (f *folds) settle(n *fold) Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := n.first
	e.Count = n.more
	if e.Count > 1 || n.row != 0 {
		e.Last = n.last
	}
	n.more, n.queued = 0, false
	return e
}

func kindOf(e Entry) kind {
	return kind{e.Session, e.Run, e.Method, e.Host, e.Port, e.Service, e.Rule, e.Reason, e.Status}
}
