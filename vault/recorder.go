package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/av-project/av/vault/store"
)

const (
	recordQueue = 4096 // records that may wait for the disk
	recordBatch = 512  // records in one transaction

	// keptPerSession and keptNameless are how many records one process keeps of one
	// session, and of all requests that had none: an agent that asks and is refused as
	// fast as it can would fill the disk, and nobody reads the rest.
	keptPerSession = 100_000
	keptNameless   = 10_000

	// busyPatience is how long a batch waits, beyond the store's own waiting, while
	// another process writes. Meanwhile the queue fills, and then requests wait.
	busyPatience = 10 * time.Minute
	busyPause    = 100 * time.Millisecond
)

// recorder writes records in batches, from one goroutine, which close waits for.
// While a transaction waits for the disk the next batch gathers by itself.
type recorder struct {
	ctx    context.Context
	update func(context.Context, func(*store.Tx) error) error
	vault  string
	log    *slog.Logger
	kept   ceiling

	sending sync.RWMutex // held by senders, so that close knows when there are none
	closed  bool
	queue   chan item
	stopped chan struct{}

	// Of the writer alone, until stopped is closed.
	lost int
	err  error
}

// item is a record, or a question how many are lost once all before it are written.
type item struct {
	entry Entry
	lost  chan<- int
}

func newRecorder(ctx context.Context, db *store.DB, vault string, log *slog.Logger) *recorder {
	r := &recorder{
		ctx: ctx, update: db.Update, vault: vault, log: log,
		kept:  ceiling{perSession: keptPerSession, nameless: keptNameless},
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
	keep, first := r.kept.take(e)
	if first {
		r.log.Error("the requests that follow are counted and not recorded: there are too many", "session", e.Session, "run", e.Run)
	}
	if keep {
		r.queue <- item{entry: e}
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
	if r.lost > 0 {
		return fmt.Errorf("%d requests could not be recorded: %w", r.lost, r.err)
	}
	return nil
}

func (r *recorder) write() {
	defer close(r.stopped)
	for first := range r.queue {
		batch, questions := gather(first, r.queue)
		if err := r.store(batch); err != nil {
			r.lost += len(batch)
			r.err = err
			r.log.Error("cannot record requests", "count", len(batch), "error", err)
		}
		for _, q := range questions {
			q <- r.lost
		}
	}
}

// gather takes what waits in the queue, up to a batch.
func gather(first item, queue <-chan item) (batch []Entry, questions []chan<- int) {
	next, ok := first, true
	for {
		if next.lost != nil {
			questions = append(questions, next.lost)
		} else {
			batch = append(batch, next.entry)
		}
		if len(batch) == recordBatch {
			return batch, questions
		}
		select {
		case next, ok = <-queue:
			if !ok {
				return batch, questions
			}
		default:
			return batch, questions
		}
	}
}

// store writes a batch, and does not give up while another process is writing.
func (r *recorder) store(batch []Entry) error {
	if len(batch) == 0 {
		return nil
	}
	var waited time.Duration
	for {
		began := time.Now()
		err := r.try(batch)
		if !errors.Is(err, store.ErrBusy) {
			return err
		}
		if waited += time.Since(began); waited >= busyPatience {
			return err
		}
		// Some kinds of busy come back at once.
		time.Sleep(busyPause)
		waited += busyPause
	}
}

func (r *recorder) try(batch []Entry) error {
	return r.update(r.ctx, func(tx *store.Tx) error {
		for _, e := range batch {
			if err := tx.AddEntry(r.vault, e); err != nil {
				return err
			}
		}
		return tx.TouchUses(r.vault, uses(batch))
	})
}

// uses are the keys that a batch of records names, each with its newest time.
func uses(batch []Entry) map[string]time.Time {
	newest := map[string]time.Time{}
	for _, e := range batch {
		for _, key := range e.Keys {
			if e.Time.After(newest[key]) {
				newest[key] = e.Time
			}
		}
	}
	return newest
}
