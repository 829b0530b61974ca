package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// TestTheFileStopsGrowing fills a journal and drains it by half, again and again.
func TestTheFileStopsGrowing(t *testing.T) {
	t.Parallel()
	const most = 8 << 20
	dir := scratch(t)
	j := open(t, journal.Options{Dir: dir, MaxBytes: most})
	for range 8 {
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() {
				var err error
				for err == nil {
					err = j.Put(t.Context(), fmt.Sprint(rand.IntN(500)), bytes.Repeat([]byte{1}, rand.IntN(4000)))
				}
				if !errors.Is(err, journal.ErrFull) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for j.Stats().Bytes > most/2 {
			drain(t, j)
		}
	}
	info, err := os.Stat(filepath.Join(dir, journal.FileName))
	if err != nil || info.Size() > 2*most+16<<20 {
		t.Errorf("%d bytes of records made a file of %d bytes, %v", most, info.Size(), err)
	}
}

// drain deletes the oldest records of each object.
func drain(t *testing.T, j *journal.Journal) {
	t.Helper()
	var seqs []uint64
	for _, object := range j.Objects() {
		records, err := j.Of(object, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			seqs = append(seqs, r.Seq)
		}
	}
	if err := j.Delete(seqs...); err != nil {
		t.Fatal(err)
	}
}
