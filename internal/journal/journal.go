// Package journal is the file where a record is safe when nothing else is: Put returns when
// the bytes are on the disk. It knows nothing of what they mean, and whoever hands it bytes
// has sealed them. Records belong to objects, are read back oldest first, and stay until they
// are deleted.
//
// The file is a bbolt database, Dir/journal.db, beside Dir/journal.lock; what is being made
// ends in .new. What is freed in the file is used again: it grows to about one and a half times
// the most that its records ever came to, at the worst twice, plus 16 MiB, and it does not
// shrink while it is open. If it is then larger than 32 MiB and than four times its records, the
// next Open writes it anew. In memory a record costs less than 200 bytes and its object's name.
//
// The database maps the file into memory. While it is open nobody else may write to it or cut
// it: the process would die (and find out at its next start what is left).
package journal

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// What callers can tell apart. Errors wrap these; those of Open name the file.
var (
	// ErrLocked: another process has this journal open.
	ErrLocked = errors.New("the journal is in use by another process: stop that one, or give this one a directory of its own")
	// ErrNewer: a newer version of this program wrote the file. Nothing of it was changed.
	ErrNewer = errors.New("the journal was written by a newer version: run that version again until the journal is empty, or move the file away")
	// ErrDamaged: the file is cut, overwritten or no journal. Nothing of it was changed.
	ErrDamaged = errors.New("the journal is damaged: look at its disk, and move the file away to start with an empty one " +
		"(the records in it are then as good as lost, unless they are sent again)")
	// ErrFull: with this record there would be more than MaxBytes.
	ErrFull = errors.New("the journal is full: it takes records again when some have been deleted")
	// ErrFailed: the disk failed. The journal opens its file again by itself, until which
	// it neither takes nor gives a record; Puts are refused for a while longer.
	ErrFailed = errors.New("the journal's disk failed: see that it has room and works; the journal tries again by itself")
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("the journal is closed")
)

const (
	defaultMaxBytes = 512 << 20
	// After a failure the file is opened again at once; Puts, and after failures in a row the
	// opening too, wait this long, twice as long each time.
	firstRetry, lastRetry = time.Second, 30 * time.Second
	// hangsAfter is how long one write to the disk may take before the disk counts as one that hangs.
	hangsAfter = time.Second
)

// Options say where a journal is and how much it may hold.
type Options struct {
	// Dir is the journal's own directory; it is made (0700) if missing.
	Dir string
	// MaxBytes bounds Stats.Bytes; 512 MiB if it is 0.
	MaxBytes int64
	// Now gives the times of records; time.Now if it is nil. No order depends on it.
	Now func() time.Time
	// Hold, if it is set, is called before each change of the file: with it a test's disk hangs.
	Hold func()

	// What follows is for tests; 0 is what there is otherwise.
	firstRetry   time.Duration
	compactAbove int64
}

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	options Options
	lock    *os.File
	wake    chan struct{}
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when there is no writer any more

	mu       sync.Mutex
	work     *sync.Cond // the writer waits for it
	queue    []*write
	reserved Use       // by the Puts in the queue and being written
	db       *bbolt.DB // nil while it has failed and when it is closed
	closed   bool
	cause    error     // why it failed last
	failures int       // in a row
	held     time.Time // until when Puts are refused
	begun    time.Time // when the write began that is under way; zero if none is
	index    *index
	torn     bool
	// What Admit was given; nil without it.
	group      func(object string) string
	admission  Admission
	reservedBy map[string]Use // by group; never zero
}

// Stats is how much a journal holds.
type Stats struct {
	// Records wait to be read; Asides have been set aside.
	Records, Asides int
	// Bytes of both, with 64 more for each: what MaxBytes bounds.
	Bytes int64
	// Oldest is when the first of the waiting records was put; zero if none waits.
	Oldest time.Time
	// Failed is set from a failure of the disk until the file has been opened again. The rest
	// is then what was last known.
	Failed bool
	// Torn is set if one of the file's two headers could not be read at Open. A crash in
	// the midst of a write does that, and then nothing is lost. If the disk did it, the
	// last records that were put (or deleted) may be missing (or be back).
	Torn bool
}

// Open opens the journal in a directory, and makes it if there is none. It reads the whole
// file and trusts nothing in it unchecked. The errors are ErrLocked (at once), ErrNewer,
// ErrDamaged, or those of the disk.
func Open(options Options) (*Journal, error) {
	if options.MaxBytes <= 0 {
		options.MaxBytes = defaultMaxBytes
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	options.firstRetry = cmp.Or(options.firstRetry, firstRetry)
	options.compactAbove = cmp.Or(options.compactAbove, compactAbove)
	if err := makeDir(options.Dir); err != nil {
		return nil, fmt.Errorf("make the journal's directory: %w", err)
	}
	lock, err := lockFile(filepath.Join(options.Dir, "journal.lock"))
	if err != nil {
		return nil, err
	}
	err = makeFile(options.Dir)
	var opened *opened
	if err == nil {
		opened, err = openFile(options)
	}
	if err != nil {
		return nil, errors.Join(err, unlockFile(lock))
	}
	j := &Journal{
		options: options, lock: lock, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	j.work = sync.NewCond(&j.mu)
	j.use(opened)
	go j.write(opened.db)
	return j, nil
}

// Close waits for the calls under way and closes the journal. All later calls give ErrClosed,
// or nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	j.closed = true
	j.work.Signal()
	j.mu.Unlock()
	close(j.stop)
	<-j.done
	return unlockFile(j.lock)
}

// Stats tells how much there is, from memory.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{
		Records: len(j.index.entries) - len(j.index.asides), Asides: len(j.index.asides), Bytes: j.index.bytes,
		Oldest: j.index.oldest(), Failed: j.db == nil && !j.closed, Torn: j.torn,
	}
}

// Wake receives something after records came to wait: put, restored, or found when the file
// was opened. It is meant for one reader, which then looks at all Objects.
func (j *Journal) Wake() <-chan struct{} { return j.wake }

func (j *Journal) wakeIfAny() {
	if len(j.index.waiting) == 0 {
		return
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// usable says why nothing can be done now.
func (j *Journal) usable() error {
	switch {
	case j.closed:
		return ErrClosed
	case j.db == nil:
		return fmt.Errorf("%w (%w)", ErrFailed, j.cause)
	}
	return nil
}

// holds reports whether Puts are refused, since the disk failed a moment ago.
func (j *Journal) holds() bool { return time.Now().Before(j.held) }

// hangs reports whether what is being written has been under way for too long.
func (j *Journal) hangs() bool { return !j.begun.IsZero() && time.Since(j.begun) > hangsAfter }

// use takes a file that has just been opened.
func (j *Journal) use(opened *opened) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.db, j.index = opened.db, opened.index
	if j.group != nil {
		j.index.groupBy(j.group)
	}
	j.torn = j.torn || opened.torn
	j.wakeIfAny()
}

// fail makes it so that nothing known from a database is trusted any more; the writer then
// opens the file again.
func (j *Journal) fail(db *bbolt.DB, cause error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db != db {
		return
	}
	j.db, j.cause = nil, cause
	j.failures++
	j.held = time.Now().Add(j.patience(j.failures))
	for _, w := range j.queue {
		j.answer(w, fmt.Errorf("%w (%w)", ErrFailed, cause))
	}
	j.queue = nil
	j.work.Signal()
}

// patience is how long to wait after so many failures in a row.
func (j *Journal) patience(failures int) time.Duration {
	return min(j.options.firstRetry<<min(failures-1, 16), lastRetry)
}

// heal closes a database that failed and opens the file anew, as often as it takes. A file that
// is gone (with the volume it was on?) is no reason to begin a new one. It gives nil when the
// journal is closed meanwhile.
func (j *Journal) heal(failed *bbolt.DB) *bbolt.DB {
	_ = failed.Close()
	j.mu.Lock()
	failures := j.failures
	j.mu.Unlock()
	wait := time.Duration(0)
	if failures > 1 {
		wait = j.patience(failures)
	}
	for ; ; failures++ {
		select {
		case <-j.stop:
			return nil
		case <-time.After(wait):
		}
		opened, err := openFile(j.options)
		if err == nil {
			j.use(opened)
			return opened.db
		}
		wait = j.patience(failures)
		j.mu.Lock()
		j.cause = err
		j.mu.Unlock()
	}
}
