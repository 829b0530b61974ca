package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// scratch is a directory in memory where there is one: the tests that open thousands of files
// are about what is in them, not about the disk.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func open(t testing.TB, options journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func put(t testing.TB, j *journal.Journal, object, data string) {
	t.Helper()
	if err := j.Put(t.Context(), object, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// of is the data of an object's records.
func of(t testing.TB, j *journal.Journal, object string) []string {
	t.Helper()
	records, err := j.Of(object, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	for _, record := range records {
		data = append(data, string(record.Data))
	}
	return data
}

func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestRecordsAreReadInOrderAndNewestObjectFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	options := journal.Options{Dir: dir, Now: func() time.Time { now = now.Add(-time.Hour); return now }}
	j := open(t, options)
	for i, object := range []string{"x", "y", "x", "z", "y"} {
		put(t, j, object, fmt.Sprint(object, i))
	}
	check := func(j *journal.Journal) {
		t.Helper()
		want(t, "objects", j.Objects(), []string{"y", "z", "x"})
		want(t, "x", of(t, j, "x"), []string{"x0", "x2"})
		want(t, "none", of(t, j, "none"), nil)
		first, err := j.Of("y", 1)
		if err != nil || len(first) != 1 || string(first[0].Data) != "y1" || !first[0].At.Equal(now.Add(3*time.Hour)) {
			t.Errorf("the first of y is %v, %v", first, err)
		}
		want(t, "bytes", j.Stats().Bytes, int64(5*(1+2+journal.EntryCost)))
		if oldest := j.Stats().Oldest; !oldest.Equal(now.Add(4 * time.Hour)) {
			t.Errorf("the oldest is of %s: a clock that is set back must not change what is oldest", oldest)
		}
	}
	check(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, options))
	for name, mode := range map[string]os.FileMode{"": 0o700, journal.FileName: 0o600, "journal.lock": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v; want mode %o", name, info, err, mode)
		}
	}
}

func TestAsidesAreKeptUntilRestoredOrDeleted(t *testing.T) {
	options := journal.Options{Dir: t.TempDir()}
	j := open(t, options)
	for _, data := range []string{"1", "2", "3"} {
		put(t, j, "x", data)
	}
	before := j.Stats().Bytes
	if err := errors.Join(j.SetAside(map[uint64]string{1: "too long", 2: "first", 99: "not there"}), j.SetAside(map[uint64]string{2: "quota"})); err != nil {
		t.Fatal(err)
	}
	_ = j.Close()
	j = open(t, options)
	want(t, "waiting", of(t, j, "x"), []string{"3"})
	var got []string
	for _, aside := range j.Asides() {
		got = append(got, fmt.Sprint(aside.Seq, aside.Object, aside.Reason, aside.At.IsZero()))
	}
	want(t, "asides", got, []string{"1xtoo longfalse", "2xquotafalse"})
	stats := j.Stats()
	want(t, "stats", []int64{int64(stats.Records), int64(stats.Asides), stats.Bytes}, []int64{1, 2, before + 13})
	if err := errors.Join(j.Restore(2, 3, 99), j.Delete(3, 99)); err != nil {
		t.Fatal(err)
	}
	want(t, "restored", of(t, j, "x"), []string{"2"})
	if err := j.Delete(1, 2); err != nil {
		t.Fatal(err)
	}
	want(t, "all deleted", j.Stats(), journal.Stats{})
	_ = j.Close()
	j = open(t, options)
	want(t, "all deleted, reopened", j.Stats(), journal.Stats{})
	put(t, j, "x", "4")
	records, err := j.Of("x", 1)
	if err != nil || len(records) != 1 || records[0].Seq != 4 {
		t.Errorf("%v, %v: a number was used twice", records, err)
	}
}

func TestPutIsBounded(t *testing.T) {
	cost := int64(1 + 10 + journal.EntryCost)
	options := journal.Options{Dir: t.TempDir(), MaxBytes: 3 * cost}
	j := open(t, options)
	data := strings.Repeat("d", 10)
	var full sync.WaitGroup
	errs := make(chan error, 20)
	for range cap(errs) { // at once: none may slip in beside the others
		full.Go(func() { errs <- j.Put(t.Context(), "x", []byte(data)) })
	}
	full.Wait()
	close(errs)
	done := 0
	for err := range errs {
		switch {
		case err == nil:
			done++
		case !errors.Is(err, journal.ErrFull):
			t.Error(err)
		}
	}
	want(t, "put", done, 3)
	_ = j.Close()
	j = open(t, options)
	if err := j.Put(t.Context(), "x", nil); !errors.Is(err, journal.ErrFull) {
		t.Errorf("reopened, the journal is not full: %v", err)
	}
	if err := j.SetAside(map[uint64]string{2: "even when it is full"}); err != nil {
		t.Error(err)
	}
	if err := j.Delete(1, 2); err != nil {
		t.Fatal(err)
	}
	put(t, j, "x", data)
	put(t, j, "x", data)
	want(t, "bytes", j.Stats().Bytes, 3*cost)
}

func TestOneProcessAtATime(t *testing.T) {
	options := journal.Options{Dir: t.TempDir()}
	j := open(t, options)
	start := time.Now()
	_, err := journal.Open(options)
	if !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), options.Dir) {
		t.Errorf("a second Open: %v", err)
	}
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("refused after %s", took)
	}
	_ = j.Close()
	open(t, options)
}

// edit changes the file behind the journal's back.
func edit(t *testing.T, dir string, change func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, journal.FileName), 0o600, &bbolt.Options{NoFreelistSync: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func setVersion(v uint32) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		return tx.Bucket(journal.BucketMeta).Put(journal.KeyVersion, binary.BigEndian.AppendUint32(nil, v))
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	path := func(dir string) string { return filepath.Join(dir, journal.FileName) }
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  error
	}{
		"newer": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("of a newer kind"))
				return errors.Join(err, setVersion(journal.Version+1)(tx))
			})
		}, journal.ErrNewer},
		"version 0": {func(t *testing.T, dir string) { edit(t, dir, setVersion(0)) }, journal.ErrDamaged},
		"no version": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bbolt.Tx) error { return tx.Bucket(journal.BucketMeta).Delete(journal.KeyVersion) })
		}, journal.ErrDamaged},
		"no bucket": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("asides")) })
		}, journal.ErrDamaged},
		"a record missing": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte("records")).Delete(binary.BigEndian.AppendUint64(nil, 1))
			})
		}, journal.ErrDamaged},
		"text": {func(_ *testing.T, dir string) {
			_ = os.WriteFile(path(dir), []byte(strings.Repeat("no journal\n", 3000)), 0o600)
		}, journal.ErrDamaged},
		"zeros":     {func(_ *testing.T, dir string) { _ = os.WriteFile(path(dir), make([]byte, 1<<16), 0o600) }, journal.ErrDamaged},
		"one byte":  {func(_ *testing.T, dir string) { _ = os.Truncate(path(dir), 1) }, journal.ErrDamaged},
		"empty":     {func(_ *testing.T, dir string) { _ = os.Truncate(path(dir), 0) }, journal.ErrDamaged},
		"directory": {func(_ *testing.T, dir string) { _ = os.Remove(path(dir)); _ = os.Mkdir(path(dir), 0o700) }, syscall.EISDIR},
		"another database": {func(t *testing.T, dir string) {
			_ = os.Remove(path(dir))
			db, err := bbolt.Open(path(dir), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = db.Close()
		}, journal.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, journal.Options{Dir: dir})
			put(t, j, "x", "1")
			_ = j.Close()
			test.spoil(t, dir)
			before, _ := os.ReadFile(path(dir))
			_, err := journal.Open(journal.Options{Dir: dir})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), path(dir)) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if after, _ := os.ReadFile(path(dir)); string(after) != string(before) {
				t.Error("the file was changed")
			}
			_, again := journal.Open(journal.Options{Dir: dir})
			if errors.Is(again, journal.ErrLocked) {
				t.Error("the refused journal is still locked")
			}
		})
	}
}

func TestWhatACrashLeavesOfTheFirstStartIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	begun := filepath.Join(dir, journal.FileName+".new")
	if err := os.WriteFile(begun, []byte("begun"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, journal.Options{Dir: dir}), "x", "1")
	if _, err := os.Stat(begun); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was begun is still there: %v", err)
	}
}

func TestWakeTellsOfRecords(t *testing.T) {
	woken := func(j *journal.Journal) bool {
		select {
		case <-j.Wake():
			return true
		default:
			return false
		}
	}
	options := journal.Options{Dir: t.TempDir()}
	j := open(t, options)
	want(t, "woken by nothing", woken(j), false)
	put(t, j, "x", "1")
	put(t, j, "x", "2")
	want(t, "woken by Puts", []bool{woken(j), woken(j)}, []bool{true, false})
	_ = j.SetAside(map[uint64]string{1: ""})
	_ = j.Delete(2)
	want(t, "woken by what goes", woken(j), false)
	_ = j.Restore(1)
	want(t, "woken by Restore", woken(j), true)
	_ = j.Close()
	want(t, "woken by Open", woken(open(t, options)), true)
}

func TestCloseWaitsAndThenRefuses(t *testing.T) {
	options := journal.Options{Dir: t.TempDir()}
	j := open(t, options)
	release := j.Block()
	var puts errgroup.Group
	for range 50 {
		puts.Go(func() error { return j.Put(t.Context(), "x", []byte("1")) })
	}
	for j.Queued() < 50 {
		runtime.Gosched()
	}
	closed := make(chan error)
	go func() { closed <- j.Close() }()
	_, err := j.Of("x", 1)
	for ; !errors.Is(err, journal.ErrClosed); _, err = j.Of("x", 1) {
		runtime.Gosched()
	}
	release()
	if err := errors.Join(puts.Wait(), <-closed); err != nil {
		t.Error(err)
	}
	_, hasErr := j.Has("x")
	for call, err := range map[string]error{
		"Put": j.Put(t.Context(), "x", nil), "Of": err, "Has": hasErr, "Delete": j.Delete(1), "SetAside": j.SetAside(map[uint64]string{1: ""}), "Restore": j.Restore(1), "Close": j.Close(),
	} {
		if !errors.Is(err, journal.ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if j.Objects() != nil || len(j.Asides()) != 0 || j.Stats() != (journal.Stats{}) {
		t.Error("a closed journal has something")
	}
	want(t, "acknowledged", len(of(t, open(t, options), "x")), 50)
}

func TestPutEndsWithItsContext(t *testing.T) {
	options := journal.Options{Dir: t.TempDir(), MaxBytes: 20 * (2 + journal.EntryCost)}
	j := open(t, options)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Put(ended, "x", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	want(t, "records", j.Stats().Records, 0)
	// The disk does not answer. However many give up, nothing of them stays: no memory, and no room.
	release := j.Block()
	var stays errgroup.Group
	stays.Go(func() error { return j.Put(t.Context(), "x", []byte("1")) })
	for j.Queued() == 0 {
		runtime.Gosched()
	}
	for range 40 {
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := j.Put(short, "x", []byte("2")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
	}
	want(t, "waiting for the disk", j.Queued(), 1)
	release()
	if err := stays.Wait(); err != nil {
		t.Error(err)
	}
	_ = j.Close()
	want(t, "records", of(t, open(t, options), "x"), []string{"1"})
}

// What is being written when its caller gives up is written all the same, and counts until then.
func TestWhatIsBeingWrittenIsNotTakenBack(t *testing.T) {
	options := journal.Options{Dir: t.TempDir(), MaxBytes: 2 + journal.EntryCost}
	j := open(t, options)
	queued := func(n int) {
		for j.Queued() < n {
			runtime.Gosched()
		}
	}
	first, second, gaveUp := j.Block(), make(chan func()), make(chan error)
	go func() { second <- j.Block() }()
	queued(1)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() { gaveUp <- j.Put(ctx, "x", []byte("1")) }()
	queued(2)
	first()
	release := <-second // it is at work, and the Put goes with it
	giveUp()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := j.Put(t.Context(), "x", []byte("2")); !errors.Is(err, journal.ErrFull) {
		t.Error(err)
	}
	release()
	_ = j.Close() // waits for those whose callers did not
	want(t, "records", of(t, open(t, options), "x"), []string{"1"})
}

func TestDataIsCopied(t *testing.T) {
	j := open(t, journal.Options{Dir: t.TempDir()})
	data := bytes.Repeat([]byte{1}, 10_000) // too much to be copied by the database itself
	if err := j.Put(t.Context(), "x", data); err != nil {
		t.Fatal(err)
	}
	data[0] = 2
	records, err := j.Of("x", 1)
	if err != nil {
		t.Fatal(err)
	}
	records[0].Data[0]++
	data[0] = 1
	want(t, "data", of(t, j, "x"), []string{string(data)})
}

func TestAFailedJournalRefusesAndOpensAgainByItself(t *testing.T) {
	wait := time.Second
	j := open(t, journal.Options{Dir: t.TempDir()}.Impatient(wait))
	put(t, j, "x", "1")
	<-j.Wake()
	failed := time.Now()
	j.Fail(syscall.EIO)
	err := j.Put(t.Context(), "x", []byte("2"))
	if !errors.Is(err, journal.ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Put after a failure: %v", err)
	}
	<-j.Wake() // it is opened at once, and what waits can be read
	want(t, "records", of(t, j, "x"), []string{"1"})
	usable := j.Usable()
	for err = j.Put(t.Context(), "x", []byte("2")); err != nil; err = j.Put(t.Context(), "x", []byte("2")) {
		if usable || !errors.Is(err, journal.ErrFailed) || time.Since(failed) > 20*time.Second {
			t.Fatalf("Put after a failure: %v; usable: %v", err, usable)
		}
		usable = j.Usable()
	}
	if !j.Usable() {
		t.Error("it takes records, and says that it does not")
	}
	if took := time.Since(failed); took < wait {
		t.Errorf("Puts were taken again after %s", took)
	}
	want(t, "records", of(t, j, "x"), []string{"1", "2"})

	// Failures in a row, without a write between them, make the next opening wait longer.
	<-j.Wake()
	j.Fail(syscall.EIO)
	<-j.Wake()
	failed = time.Now()
	j.Fail(syscall.EIO)
	want(t, "objects while it has failed", j.Objects(), nil)
	if _, err := j.Has("x"); !errors.Is(err, journal.ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("nobody knows what a failed journal has: %v", err)
	}
	if stats := j.Stats(); !stats.Failed || stats.Records != 2 {
		t.Errorf("stats of a failed journal: %+v", stats)
	}
	<-j.Wake()
	if took := time.Since(failed); took < 2*wait {
		t.Errorf("opened again after %s", took)
	}
}

func TestAFailedJournalNoticesWhatBecameOfItsFile(t *testing.T) {
	dir := t.TempDir()
	j := open(t, journal.Options{Dir: dir}.Impatient(time.Millisecond))
	put(t, j, "x", "1")
	<-j.Wake()
	whole, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	j.Fail(syscall.EIO)
	<-j.Wake()
	become := func(content []byte) {
		t.Helper() // at once; the mapped file stays what it is
		other := filepath.Join(dir, "other")
		if err := errors.Join(os.WriteFile(other, content, 0o600), os.Rename(other, filepath.Join(dir, journal.FileName))); err != nil {
			t.Fatal(err)
		}
	}
	become(nil) // and not a new one
	j.Fail(syscall.EIO)
	deadline := time.Now().Add(20 * time.Second)
	for err = nil; !errors.Is(err, journal.ErrDamaged); err = j.Restore(1) {
		if time.Now().After(deadline) {
			t.Fatal("the damage was not noticed")
		}
	}
	if !errors.Is(err, journal.ErrFailed) {
		t.Error(err)
	}
	become(whole)
	<-j.Wake() // mended
	want(t, "records", of(t, j, "x"), []string{"1"})
}

func TestALargeFileWithLittleInItIsWrittenAnew(t *testing.T) {
	dir := scratch(t)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, journal.FileName))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	options := journal.Options{Dir: dir}.CompactAbove(100_000)
	j := open(t, options)
	var seqs []uint64
	for i := range 100 {
		put(t, j, fmt.Sprint(i%2), strings.Repeat("d", 20_000))
		seqs = append(seqs, uint64(i+1))
	}
	put(t, j, "x", "kept")
	put(t, j, "x", "aside")
	if err := errors.Join(j.SetAside(map[uint64]string{102: "why"}), j.Delete(seqs...), j.Close()); err != nil {
		t.Fatal(err)
	}
	before := size()
	j = open(t, options)
	if after := size(); after > 100_000 || before < 2_000_000 {
		t.Errorf("the file had %d bytes and has %d", before, after)
	}
	want(t, "records", of(t, j, "x"), []string{"kept"})
	want(t, "asides", len(j.Asides()), 1)
	put(t, j, "y", "next")
	records, err := j.Of("y", 1)
	if err != nil || records[0].Seq != 103 {
		t.Errorf("%v, %v: the numbers begin again", records, err)
	}
}
