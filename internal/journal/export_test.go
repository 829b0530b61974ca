package journal

import (
	"time"

	"go.etcd.io/bbolt"
)

// Impatient opens a failed file again after a short time.
func (o Options) Impatient(wait time.Duration) Options { o.firstRetry = wait; return o }

// CompactAbove writes files anew that are larger than so many bytes.
func (o Options) CompactAbove(size int64) Options { o.compactAbove = size; return o }

// What tests write into files themselves.
const (
	FileName  = fileName
	Version   = version
	EntryCost = entryCost
)

var (
	BucketMeta = bucketMeta
	KeyVersion = keyVersion
)

// Fail makes the journal take it that its disk failed.
func (j *Journal) Fail(why error) {
	j.mu.Lock()
	db := j.db
	j.mu.Unlock()
	if db != nil {
		j.fail(db, why)
	}
}

// Block makes the journal's disk wait until the function is called that it gives.
func (j *Journal) Block() (release func()) {
	begun, wait := make(chan struct{}), make(chan struct{})
	go func() {
		_ = j.change(func(*bbolt.Tx) error { close(begun); <-wait; return nil }, func(*index) {})
	}()
	<-begun
	return func() { close(wait) }
}

// Queued is how many writes wait for the writer.
func (j *Journal) Queued() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.queue)
}
