package journal

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Record is what was put.
type Record struct {
	// Seq numbers the records in the order in which they were put. No number is used twice.
	Seq uint64
	// At is when it was put, by the clock of then.
	At   time.Time
	Data []byte
}

// Aside is a record that was set aside.
type Aside struct {
	Seq    uint64
	Object string
	// At is when the record was put.
	At     time.Time
	Reason string
}

// Objects are those with waiting records, the one with the newest record first. It is empty
// while the journal has failed.
func (j *Journal) Objects() []string {
	objects := j.dated()
	slices.SortFunc(objects, func(a, b dated) int { return cmp.Compare(b.newest, a.newest) })
	var names []string
	for _, o := range objects {
		names = append(names, o.object)
	}
	return names
}

// dated are the objects in no order: there may be very many, and whoever puts a record waits
// for the lock.
func (j *Journal) dated() []dated {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db == nil {
		return nil
	}
	return j.index.objects()
}

// Asides are the records set aside, oldest first. It is empty while the journal has failed.
func (j *Journal) Asides() []Aside {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db == nil {
		return nil
	}
	return j.index.listAsides()
}

// Has reports whether there are records of an object, waiting or set aside, from memory and without
// listing them. The errors are ErrFailed and ErrClosed: then nobody knows.
func (j *Journal) Has(object string) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return false, err
	}
	return j.index.has(object), nil
}

// maxRead is how many bytes of records Of gives at most, beside the first.
const maxRead = 1 << 20

// Of reads waiting records of an object, oldest first and so many at most; fewer if they are
// large.
func (j *Journal) Of(object string, limit int) ([]Record, error) {
	j.mu.Lock()
	db, seqs, err := j.db, j.index.first(object, limit), j.usable()
	j.mu.Unlock()
	if err != nil {
		return nil, err
	}
	records, size := make([]Record, 0, len(seqs)), 0
	err = view(db, func(tx *bbolt.Tx) error {
		for _, seq := range seqs {
			value := tx.Bucket(bucketRecords).Get(key(seq))
			if value == nil {
				continue // deleted since
			}
			if size += len(value); size > maxRead && len(records) > 0 {
				break
			}
			record, err := parseRecord(key(seq), value)
			if err != nil {
				return err
			}
			records = append(records, Record{Seq: seq, At: time.Unix(0, record.at), Data: record.data()})
		}
		return nil
	})
	if err == nil {
		return records, nil
	}
	j.fail(db, err)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, ErrClosed
	}
	return nil, fmt.Errorf("%w (%w)", ErrFailed, err)
}

// view reads the mapped file. Where the disk cannot give a page, that is an error and not the
// end of the process.
func view(db *bbolt.DB, read func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("read the journal: %v", fault)
		}
	}()
	return db.View(read)
}
