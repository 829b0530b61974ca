package journal

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Put adds a record to an object. Nil means that it is on the disk: all who put at the same
// time share one fsync. With any error it is not acknowledged; it may be on the disk all the
// same, and then it is whole and appears as a record, perhaps only after the file has been
// opened again. That is so too when ctx ends first, since what has begun cannot be called back.
// The errors are ErrFull, ErrFailed (which wraps the disk's own), ErrClosed and ctx's. The data
// may be used again when Put returns.
func (j *Journal) Put(ctx context.Context, object string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	record := newRecord(object, j.options.Now(), data)
	db, err := j.admit(record.cost())
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- j.put(db, record) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admit is enter for a Put of so many bytes.
func (j *Journal) admit(cost int64) (*bbolt.DB, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	db, err := j.enterLocked()
	switch {
	case err != nil:
		return nil, err
	case time.Now().Before(j.held):
		err = fmt.Errorf("%w (%w)", ErrFailed, j.cause)
	case cost > maxCost || j.index.bytes+j.reserved > j.options.MaxBytes-cost:
		err = fmt.Errorf("%w (%d of %d bytes)", ErrFull, j.index.bytes+j.reserved, j.options.MaxBytes)
	default:
		j.reserved += cost
		return db, nil
	}
	j.using.Done()
	return nil, err
}

func (j *Journal) put(db *bbolt.DB, record *record) error {
	err := db.Batch(func(tx *bbolt.Tx) error { return record.put(tx) })
	j.mu.Lock()
	j.reserved -= record.cost()
	if err == nil {
		j.failures = 0
		j.index.add(record.seq, record.entry)
		j.wakeIfAny()
	}
	j.mu.Unlock()
	return j.leave(db, err)
}

// Delete removes records, waiting or set aside, by the numbers that Of or Asides gave. Those
// that are not there are passed over. Nil means that the disk has forgotten them too.
func (j *Journal) Delete(seqs ...uint64) error {
	return j.change(
		func(tx *bbolt.Tx) error { return remove(tx, seqs) },
		func(index *index) { index.remove(seqs) })
}

// SetAside takes a record that can never be recorded out of Objects and Of, and keeps it with
// the reason, until it is restored or deleted. A record that is not there is passed over.
func (j *Journal) SetAside(seq uint64, reason string) error {
	j.asides.Lock()
	defer j.asides.Unlock()
	return j.change(
		func(tx *bbolt.Tx) error { return setAside(tx, seq, reason) },
		func(index *index) { index.setAside(seq, reason) })
}

// Restore puts records that were set aside back in their places. Others are passed over.
func (j *Journal) Restore(seqs ...uint64) error {
	j.asides.Lock()
	defer j.asides.Unlock()
	return j.change(
		func(tx *bbolt.Tx) error { return restore(tx, seqs) },
		func(index *index) { index.restore(seqs); j.wakeIfAny() })
}

// change changes the file, then what is known of it in memory.
func (j *Journal) change(file func(*bbolt.Tx) error, memory func(*index)) error {
	db, err := j.enter()
	if err != nil {
		return err
	}
	err = db.Batch(file)
	if err == nil {
		j.mu.Lock()
		j.failures = 0
		memory(j.index)
		j.mu.Unlock()
	}
	return j.leave(db, err)
}
