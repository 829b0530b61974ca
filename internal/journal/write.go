package journal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Put adds a record to an object. Nil means that it is on the disk: all who put at the same
// time share one fsync. With any error it is not acknowledged; it may be on the disk all the
// same, and then it is whole and appears as a record, perhaps only after the file has been
// opened again. That is so too when ctx ends while the record is being written, which cannot be
// called back; if it only waits for the disk it is taken back, so that a disk that hangs holds no
// more than one fsync's records that nobody waits for. The errors are ErrFull, ErrFailed (which
// wraps the disk's own), ErrClosed, ctx's and those of the admission. The data may be used again
// when Put returns.
func (j *Journal) Put(ctx context.Context, object string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	putting, err := j.Begin(object, data)
	if err != nil {
		return err
	}
	return putting.Wait(ctx)
}

// Begin is a Put that does not wait for the disk, for who has something else to wait for too: a goroutine
// for each Put would cost as much as the Put. The data may be used again when Begin returns.
func (j *Journal) Begin(object string, data []byte) (*Putting, error) {
	record := newRecord(object, j.options.Now(), data)
	w := &write{
		file: record.put, object: object, cost: record.cost(), done: make(chan error, 1),
		memory: func(index *index) { index.add(record.seq, record.entry); j.wakeIfAny() },
	}
	if err := j.submit(w); err != nil {
		return nil, err
	}
	return &Putting{j, w}, nil
}

// Putting is a Put under way.
type Putting struct {
	journal *Journal
	write   *write
}

// Wait gives the answer, as Put does. When ctx ends before, the record is withdrawn.
func (p *Putting) Wait(ctx context.Context) error {
	select {
	case err := <-p.Done():
		return err
	case <-ctx.Done():
		p.Withdraw()
		return ctx.Err()
	}
}

// Done has one answer, the one of Put; none, if it was withdrawn in time.
func (p *Putting) Done() <-chan error { return p.write.done }

// Withdraw takes the record back, if it only waits for the disk: see Put. Nobody is answered then.
func (p *Putting) Withdraw() { p.journal.withdraw(p.write) }

// Delete removes records, waiting or set aside, by the numbers that Of or Asides gave. Those
// that are not there are passed over. Nil means that the disk has forgotten them too.
func (j *Journal) Delete(seqs ...uint64) error {
	if len(seqs) == 0 {
		return nil
	}
	return j.change(
		func(tx *bbolt.Tx) error { return remove(tx, seqs) },
		func(index *index) { index.remove(seqs) })
}

// SetAside takes records that can never be recorded out of Objects and Of, and keeps each with
// its reason, until it is restored or deleted. Those that are not there are passed over.
func (j *Journal) SetAside(reasons map[uint64]string) error {
	if len(reasons) == 0 {
		return nil
	}
	return j.change(
		func(tx *bbolt.Tx) error { return setAside(tx, reasons) },
		func(index *index) {
			for seq, reason := range reasons {
				_ = index.setAside(seq, reason)
			}
		})
}

// Restore puts records that were set aside back in their places. Others are passed over.
func (j *Journal) Restore(seqs ...uint64) error {
	return j.change(
		func(tx *bbolt.Tx) error { return restore(tx, seqs) },
		func(index *index) { index.restore(seqs); j.wakeIfAny() })
}

// change makes a change and waits until it is on the disk.
func (j *Journal) change(file func(*bbolt.Tx) error, memory func(*index)) error {
	w := &write{file: file, memory: memory, done: make(chan error, 1)}
	if err := j.submit(w); err != nil {
		return err
	}
	return <-w.done
}

// write is one change, of the file and then of what is known of it in memory.
type write struct {
	file   func(*bbolt.Tx) error
	memory func(*index)
	object string // of a Put
	cost   int64  // of a Put; 0 for what is never refused
	done   chan error
}

// submit hands a write to the writer, who answers it.
func (j *Journal) submit(w *write) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	if err := j.admits(w); err != nil {
		return err
	}
	j.reserve(w, 1)
	j.queue = append(j.queue, w)
	j.work.Signal()
	return nil
}

// withdraw takes a write back that the writer has not taken yet.
func (j *Journal) withdraw(w *write) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := slices.Index(j.queue, w); i >= 0 {
		j.queue = slices.Delete(j.queue, i, i+1)
		j.reserve(w, -1)
	}
}

// admits says why a Put is refused.
func (j *Journal) admits(w *write) error {
	if w.cost == 0 {
		return nil
	}
	if j.holds() {
		return fmt.Errorf("%w (%w)", ErrFailed, j.cause)
	}
	all := j.all()
	if w.cost > maxCost || all.Bytes > j.options.MaxBytes-w.cost {
		return fmt.Errorf("%w (%d of %d bytes)", ErrFull, all.Bytes, j.options.MaxBytes)
	}
	if j.admission == nil {
		return nil
	}
	group := j.group(w.object)
	return j.admission(group, j.index.groups[group].plus(j.reservedBy[group]), all)
}

// reserve counts a Put, or with -1 takes it back.
func (j *Journal) reserve(w *write, sign int64) {
	if w.cost == 0 {
		return
	}
	use := Use{Records: sign, Bytes: sign * w.cost}
	j.reserved = j.reserved.plus(use)
	if j.group != nil {
		account(j.reservedBy, j.group(w.object), use)
	}
}

func (j *Journal) answer(w *write, err error) {
	j.reserve(w, -1)
	w.done <- err
}

// batchSize is how many writes share an fsync at most.
const batchSize = 500

// write is the writer: whatever is submitted while it waits for the disk goes out together.
// (DB.Batch would do so too. But what it has queued goes on after a failed fsync, and
// overwrites pages that the disk may still need.)
func (j *Journal) write(db *bbolt.DB) {
	defer close(j.done)
	for db != nil {
		batch, more := j.next()
		switch {
		case len(batch) > 0:
			j.commit(db, batch)
		case more:
			db = j.heal(db)
		default:
			j.end(db)
			return
		}
	}
	j.end(nil)
}

// next waits for writes. None means that the database failed or, if there is no more either,
// that the journal is closed.
func (j *Journal) next() (batch []*write, more bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.queue) == 0 && !j.closed && j.db != nil {
		j.work.Wait()
	}
	batch, j.queue = j.queue, nil
	if len(batch) > batchSize {
		batch, j.queue = batch[:batchSize], slices.Clone(batch[batchSize:])
	}
	if len(batch) > 0 {
		j.begun = time.Now()
	}
	return batch, j.db == nil && !j.closed
}

func (j *Journal) commit(db *bbolt.DB, batch []*write) {
	if j.options.Hold != nil {
		j.options.Hold()
	}
	err := db.Update(func(tx *bbolt.Tx) error {
		for _, w := range batch {
			if err := w.file(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		j.fail(db, err)
		err = fmt.Errorf("%w (%w)", ErrFailed, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun = time.Time{}
	for _, w := range batch {
		if err == nil {
			w.memory(j.index)
			j.failures = 0
		}
		j.answer(w, err)
	}
}

// end closes the database when nobody reads any more.
func (j *Journal) end(db *bbolt.DB) {
	if db != nil {
		_ = db.Close() // all that was acknowledged is on the disk
	}
	j.mu.Lock()
	j.db, j.index = nil, newIndex()
	j.mu.Unlock()
}
