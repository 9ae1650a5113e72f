package vault

import (
	"errors"
	"time"

	"github.com/av-project/av/vault/store"
)

const (
	recordBatch = 512 // records in one transaction

	// busyPatience is how long a batch waits, beyond the store's own waiting, while
	// another process writes.
	busyPatience = 10 * time.Minute
	busyPause    = 100 * time.Millisecond
)

// write is the goroutine that writes.
func (r *recorder) write() {
	defer close(r.stopped)
	for first := range r.queue {
		items, questions := gather(first, r.queue)
		batch := r.settle(items)
		if err := r.store(batch); err != nil {
			n := 0
			for _, w := range batch {
				n += w.entry.Count
			}
			r.lost.Add(int64(n))
			r.err = err
			r.log.Error("cannot record requests", "count", n, "error", err)
		}
		for _, q := range questions {
			q <- int(r.lost.Load())
		}
		r.tidyUp(len(batch))
	}
}

// gather takes what waits in the queue, up to a batch.
func gather(first item, queue <-chan item) (items []item, questions []chan<- int) {
	next, ok := first, true
	for {
		if next.lost != nil {
			questions = append(questions, next.lost)
		} else {
			items = append(items, next)
		}
		if len(items) == recordBatch {
			return items, questions
		}
		select {
		case next, ok = <-queue:
			if !ok {
				return items, questions
			}
		default:
			return items, questions
		}
	}
}

// writing is what is written of a record: all of it, or, if its fold has a row, what has
// come since.
type writing struct {
	entry Entry
	fold  *fold // or nil
}

func (r *recorder) settle(items []item) []writing {
	batch := make([]writing, 0, len(items))
	for _, i := range items {
		if i.fold == nil {
			batch = append(batch, writing{entry: *i.entry})
		} else if e := r.folds.settle(i.fold); e.Count > 0 {
			batch = append(batch, writing{e, i.fold})
		}
	}
	return batch
}

// store writes a batch, and does not give up while another process is writing.
func (r *recorder) store(batch []writing) error {
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

func (r *recorder) try(batch []writing) error {
	rows := make([]int64, len(batch))
	err := r.update(r.ctx, func(tx *store.Tx) (err error) {
		for i, w := range batch {
			if rows[i], err = r.put(tx, w); err != nil {
				return err
			}
		}
		return tx.TouchUses(r.vault, uses(batch))
	})
	if err != nil {
		return err
	}
	for i, w := range batch {
		if w.fold != nil {
			w.fold.row = rows[i]
		}
	}
	return nil
}

// put returns the row that a record has.
func (r *recorder) put(tx *store.Tx, w writing) (int64, error) {
	if w.fold != nil && w.fold.row != 0 {
		err := tx.FoldEntry(r.vault, w.fold.row, w.entry, w.entry.Count)
		if !errors.Is(err, store.ErrNoRow) {
			return w.fold.row, err
		}
		// The row was too old, or too many came after it.
	}
	return tx.AddEntry(r.vault, w.entry)
}

// tidyUp looks through the history now and then: with the first record of a process, and
// again when there are enough new ones. It is done in pieces, with records between them.
func (r *recorder) tidyUp(written int) {
	r.untidy += written
	if r.tidy == nil || written == 0 || r.untidy < r.tidyAfter {
		return
	}
	more, err := r.tidy(r.ctx)
	if err != nil {
		r.log.Error("cannot remove old records", "error", err)
	}
	if !more {
		r.untidy = 0
	}
}

// uses are the keys that a batch of records names, each with its newest time.
func uses(batch []writing) map[string]time.Time {
	newest := map[string]time.Time{}
	for _, w := range batch {
		for _, key := range w.entry.Keys {
			if w.entry.Time.After(newest[key]) {
				newest[key] = w.entry.Time
			}
		}
	}
	return newest
}
