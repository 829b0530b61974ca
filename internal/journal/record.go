package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"
)

// The file has three buckets. In records and asides the keys are the records' numbers, and the
// values begin with a checksum of the key and of what follows. In meta the tally counts the
// values and adds up their checksums, so that none can go missing unseen.
var (
	bucketMeta    = []byte("meta")
	bucketRecords = []byte("records")
	bucketAsides  = []byte("asides")

	keyVersion = []byte("version") // of this layout
	keyTally   = []byte("tally")
)

const (
	version = 1
	// A record's value: checksum, time, length of the object, object, data.
	sumSize, recordHead = 4, 4 + 8 + 4
	// entryCost is what a record costs beside its own bytes, on the disk and in memory.
	entryCost = 64
	// maxCost of one record is far below what bbolt can hold.
	maxCost = 1 << 30
	// fill is how full pages are made. Numbers only grow, so nothing goes in between.
	fill = 0.95
)

var (
	table     = crc32.MakeTable(crc32.Castagnoli)
	errRecord = errors.New("a record is not what was written")
	errTally  = errors.New("not all records that were written are there")
)

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// seal writes the checksum of a value and gives it.
func seal(key, value []byte) uint32 {
	sum := checksum(key, value)
	binary.BigEndian.PutUint32(value, sum)
	return sum
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, table), table, value[sumSize:])
}

// sealed is the checksum of a value, if it is right.
func sealed(key, value []byte) (uint32, error) {
	if len(key) != 8 || len(value) < sumSize || binary.BigEndian.Uint32(value) != checksum(key, value) {
		return 0, errRecord
	}
	return binary.BigEndian.Uint32(value), nil
}

// record is a record with the value that stands for it in the file.
type record struct {
	entry
	seq   uint64 // given by put
	value []byte
}

func newRecord(object string, at time.Time, data []byte) *record {
	value := make([]byte, recordHead, recordHead+len(object)+len(data))
	binary.BigEndian.PutUint64(value[4:], uint64(at.UnixNano()))
	binary.BigEndian.PutUint32(value[12:], uint32(len(object))) //nolint:gosec // below maxCost
	value = append(append(value, object...), data...)
	return &record{entry: entry{object: object, at: at.UnixNano(), size: int64(len(object) + len(data))}, value: value}
}

func parseRecord(key, value []byte) (*record, error) {
	if _, err := sealed(key, value); err != nil {
		return nil, err
	}
	if len(value) < recordHead {
		return nil, errRecord
	}
	rest, object := value[recordHead:], int64(binary.BigEndian.Uint32(value[12:]))
	if object > int64(len(rest)) {
		return nil, errRecord
	}
	at := int64(binary.BigEndian.Uint64(value[4:])) //nolint:gosec // the same bits
	return &record{
		entry: entry{object: string(rest[:object]), at: at, size: int64(len(rest))},
		seq:   binary.BigEndian.Uint64(key), value: value,
	}, nil
}

// data is a copy.
func (r *record) data() []byte { return bytes.Clone(r.value[recordHead+len(r.object):]) }

// put writes the record with the next number. It may be called again after a failure.
func (r *record) put(tx *bbolt.Tx) error {
	return tallied(tx, func(t *tally) error {
		t.last++
		r.seq = t.last
		key := key(r.seq)
		t.add(seal(key, r.value))
		bucket := tx.Bucket(bucketRecords)
		bucket.FillPercent = fill
		return bucket.Put(key, r.value)
	})
}

func remove(tx *bbolt.Tx, seqs []uint64) error {
	return tallied(tx, func(t *tally) error {
		for _, seq := range seqs {
			if err := errors.Join(t.drop(tx.Bucket(bucketRecords), seq), t.drop(tx.Bucket(bucketAsides), seq)); err != nil {
				return err
			}
		}
		return nil
	})
}

func setAside(tx *bbolt.Tx, reasons map[uint64]string) error {
	records, asides := tx.Bucket(bucketRecords), tx.Bucket(bucketAsides)
	return tallied(tx, func(t *tally) error {
		for seq, reason := range reasons {
			if records.Get(key(seq)) == nil {
				continue
			}
			if err := t.drop(asides, seq); err != nil {
				return err
			}
			value := append(make([]byte, sumSize), reason...)
			t.add(seal(key(seq), value))
			if err := asides.Put(key(seq), value); err != nil {
				return err
			}
		}
		return nil
	})
}

func restore(tx *bbolt.Tx, seqs []uint64) error {
	return tallied(tx, func(t *tally) error {
		for _, seq := range seqs {
			if err := t.drop(tx.Bucket(bucketAsides), seq); err != nil {
				return err
			}
		}
		return nil
	})
}

// tally is the sum of what is in the file: a change of the file changes it too.
type tally struct {
	last  uint64 // number given
	count uint64 // of values in records and asides
	sum   uint64 // of their checksums
}

const tallySize = 28

func tallied(tx *bbolt.Tx, change func(*tally) error) error {
	meta := tx.Bucket(bucketMeta)
	t, err := parseTally(meta.Get(keyTally))
	if err != nil {
		return err
	}
	if err := change(&t); err != nil {
		return err
	}
	return meta.Put(keyTally, t.bytes())
}

func (t *tally) add(sum uint32) {
	t.count++
	t.sum += uint64(sum)
}

// drop deletes a value if it is there.
func (t *tally) drop(bucket *bbolt.Bucket, seq uint64) error {
	value := bucket.Get(key(seq))
	if value == nil {
		return nil
	}
	sum, err := sealed(key(seq), value)
	if err != nil {
		return err
	}
	t.count--
	t.sum -= uint64(sum)
	return bucket.Delete(key(seq))
}

func (t *tally) bytes() []byte {
	value := make([]byte, 0, tallySize)
	for _, number := range []uint64{t.last, t.count, t.sum} {
		value = binary.BigEndian.AppendUint64(value, number)
	}
	return binary.BigEndian.AppendUint32(value, crc32.Checksum(value, table))
}

func parseTally(value []byte) (tally, error) {
	if len(value) != tallySize || binary.BigEndian.Uint32(value[24:]) != crc32.Checksum(value[:24], table) {
		return tally{}, errTally
	}
	return tally{
		last: binary.BigEndian.Uint64(value), count: binary.BigEndian.Uint64(value[8:]), sum: binary.BigEndian.Uint64(value[16:]),
	}, nil
}
