package vault

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/av-project/av/vault/store"
)

const (
	recordQueue = 4096 // records that may wait for the disk
	recordBatch = 512  // records in one transaction
)

// recorder writes records in batches, from one goroutine, which close waits for.
// While a transaction waits for the disk the next batch gathers by itself.
type recorder struct {
	ctx   context.Context
	db    *store.DB
	vault string
	log   *slog.Logger

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
	r := &recorder{ctx: ctx, db: db, vault: vault, log: log, queue: make(chan item, recordQueue), stopped: make(chan struct{})}
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
	r.queue <- item{entry: e}
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
	r.queue <- item{lost: answer}
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

func (r *recorder) store(batch []Entry) error {
	if len(batch) == 0 {
		return nil
	}
	return r.db.Update(r.ctx, func(tx *store.Tx) error {
		for _, e := range batch {
			if err := tx.AddEntry(r.vault, e); err != nil {
				return err
			}
		}
		return nil
	})
}
