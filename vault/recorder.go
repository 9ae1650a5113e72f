package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/av-project/av/vault/store"
)

const (
	recordQueue = 4096 // records that may wait for the disk

	// These are how many records one process keeps of what one session was allowed, of
	// what it was denied, and of all requests that had no session: an agent that asks as
	// fast as it can would fill the disk, and nobody reads the rest.
	keptPerSession = 100_000
	keptDenied     = 10_000
	keptNameless   = 10_000

	// maxRecordWait is how long a request waits for room in the queue. Then its record is
	// counted as lost: a disk that stands still is no reason for the proxy to. One that is
	// slow makes room with every batch.
	maxRecordWait = 10 * time.Second
)

// recorder writes records in batches, from one goroutine, which close waits for.
// While a transaction waits for the disk the next batch gathers by itself.
type recorder struct {
	ctx    context.Context
	update func(context.Context, func(*store.Tx) error) error
	vault  string
	log    *slog.Logger
	kept   ceiling
	folds  folds
	// tidy, if there is one, removes some of what is too old or too much, and tells
	// whether there is more.
	tidy func(context.Context) (more bool, err error)

	sending sync.RWMutex // held by senders, so that close knows when there are none
	closed  bool
	queue   chan item
	stopped chan struct{}

	lost   atomic.Int64
	behind atomic.Bool // the queue was full for as long as a request waits

	// Of the writer alone, until stopped is closed.
	err       error
	untidy    int // records since the history was last looked through
	tidyAfter int // of them, it is looked through again
}

// item is a record, or a row that others are folded into, or a question how many are
// lost once all before it are written.
type item struct {
	entry *Entry
	fold  *fold
	lost  chan<- int
}

func newRecorder(ctx context.Context, db *store.DB, vault string, log *slog.Logger, tidy func(context.Context) (bool, error)) *recorder {
	r := &recorder{
		ctx: ctx, update: db.Update, vault: vault, log: log, tidy: tidy, untidy: tidyAfter, tidyAfter: tidyAfter,
		kept:  ceiling{perSession: keptPerSession, denied: keptDenied, nameless: keptNameless},
		queue: make(chan item, recordQueue), stopped: make(chan struct{}),
	}
	go r.write()
	return r
}

func (r *recorder) add(e Entry) {
	r.sending.RLock()
	defer r.sending.RUnlock()
	if r.closed {
		r.log.Error("a request came after the vault was closed and is not recorded", "host", e.Host)
		return
	}
	e.Count = max(e.Count, 1)
	if foldable(e) {
		if into, tell := r.folds.take(e); into != nil {
			if tell {
				r.send(item{fold: into})
			}
			return
		}
	}
	keep, first := r.kept.take(e)
	if first {
		r.log.Error("the requests that follow are counted and not recorded: there are too many", "session", e.Session, "run", e.Run)
	}
	switch {
	case !keep:
	case foldable(e):
		r.send(item{fold: r.folds.open(e)})
	default:
		r.send(item{entry: &e})
	}
}

// send waits for room in the queue, but not for ever; and not each time anew while the
// writer does not move at all.
func (r *recorder) send(i item) {
	select {
	case r.queue <- i:
		r.behind.Store(false)
		return
	default:
	}
	if !r.behind.Load() {
		patience := time.NewTimer(maxRecordWait)
		defer patience.Stop()
		select {
		case r.queue <- i:
			return
		case <-patience.C:
		}
	}
	n := 1
	if i.fold != nil {
		n = r.folds.settle(i.fold).Count
	}
	r.lost.Add(int64(n))
	if !r.behind.Swap(true) {
		r.log.Error("cannot record requests as fast as they come: some are counted and not recorded")
	}
}

// flush waits until everything before it is written, and says how many records
// could not be.
func (r *recorder) flush(ctx context.Context) (lost int, err error) {
	answer := make(chan int, 1)
	r.sending.RLock()
	if r.closed {
		r.sending.RUnlock()
		return 0, fmt.Errorf("read records: the vault is closed")
	}
	select {
	case r.queue <- item{lost: answer}:
	case <-ctx.Done():
	}
	r.sending.RUnlock()
	select {
	case lost = <-answer:
		return lost, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (r *recorder) close() error {
	r.sending.Lock()
	if r.closed {
		r.sending.Unlock()
		return nil
	}
	r.closed = true
	r.sending.Unlock()
	close(r.queue)
	<-r.stopped
	if lost := r.lost.Load(); lost > 0 {
		err := r.err
		if err == nil {
			err = errors.New("the disk was too slow for them")
		}
		return fmt.Errorf("%d requests could not be recorded: %w", lost, err)
	}
	return nil
}
