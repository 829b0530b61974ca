package journal_test

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// What is being put counts: many at once get no more than one after the other.
func TestAdmissionCountsWhatIsBeingPut(t *testing.T) {
	j := open(t, journal.Options{Dir: t.TempDir()})
	enough := errors.New("enough")
	j.Admit(func(string) string { return "all" }, func(_ string, mine, all journal.Use) error {
		if mine != all {
			t.Errorf("%+v of %+v", mine, all)
		}
		if mine.Records >= 10 {
			return enough
		}
		return nil
	})
	release := j.Block() // nothing reaches the disk yet
	var taken, refused atomic.Int64
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			switch err := j.Put(t.Context(), "x", []byte("1")); {
			case err == nil:
				taken.Add(1)
			case errors.Is(err, enough):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); refused.Load()+int64(j.Queued()) < 50; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("some have no answer and do not wait")
		}
	}
	release()
	group.Wait()
	if taken.Load() != 10 {
		t.Errorf("%d taken, want 10", taken.Load())
	}
}
