package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// disk is one that may hang.
type disk chan struct{}

func (d disk) hold()   { d.hang(); d.answer() }
func (d disk) hang()   { d <- struct{}{} }
func (d disk) answer() { <-d }

// While the journal's disk hangs, what the API server takes in the time that a push has is
// acknowledged, though it takes longer than a write may before it is kept.
func TestHangingDiskCutsNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := make(disk, 1)
		d := openDeskWith(t, commitBudget+diskBudget/2, journal.Options{Hold: disk.hold})
		disk.hang()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if r := d.settle(ctx, d.enter(ctx, factOf("a", "1"))); r.err != nil || time.Since(start) != d.takes {
			t.Errorf("%+v after %s", r, time.Since(start))
		}
		disk.answer()
		synctest.Wait()
		// What had been handed to the disk is kept as well, and drained.
		if n := d.journal.Stats().Records; n != 1 {
			t.Errorf("%d records are kept", n)
		}
		d.draining()
		time.Sleep(time.Minute)
		if n := d.journal.Stats().Records; n > 0 {
			t.Errorf("%d are left", n)
		}
	})
}

// A storm while the journal's disk hangs goes to the API server: the first of it waits for the disk a
// moment, what comes later not at all, and nobody is told to come again.
func TestHangingDiskSendsAStormToTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := make(disk, 1)
		d := openDeskWith(t, 50*time.Millisecond, journal.Options{Hold: disk.hold})
		for i := range 100 { // one after the other, until it is known what a write takes
			d.recorded(factOf("a", fmt.Sprint(i)))
		}
		storm := func(name string) (facts []fact) {
			for i := range 8 * maxWrites {
				facts = append(facts, factOf("a", fmt.Sprint(name, i)))
			}
			return facts
		}
		all := 8 * d.takes
		disk.hang()
		if took := d.recorded(storm("first-")...); took > lineBudget+diskBudget+all {
			t.Errorf("the last of the first storm waited %s", took)
		}
		if took := d.recorded(storm("second-")...); took > all+d.takes {
			t.Errorf("the last of the second storm waited %s", took)
		}
		disk.answer()
		synctest.Wait()
		d.draining()
		time.Sleep(time.Minute)
		if n := d.journal.Stats().Records; n > 0 {
			t.Errorf("%d are left", n)
		}
		if n := len(d.written); n != 100+2*8*maxWrites {
			t.Errorf("%d objects are written", n)
		}
	})
}

// hung is a desk whose disk hangs, with one record that it has been given, and nothing of it is known.
func hung(t *testing.T, takes time.Duration) (*desk, disk) {
	t.Helper()
	disk := make(disk, 1)
	d := openDeskWith(t, takes, journal.Options{Hold: disk.hold})
	disk.hang()
	go d.put(factOf("other", "given"))
	synctest.Wait()
	return d, disk
}

// settled records a fact as a push does that has four seconds, and gives what came of it.
func (d *desk) settled(f fact) <-chan result {
	settled := make(chan result, 1)
	go func() {
		ctx, cancel := context.WithTimeout(d.t.Context(), 4*time.Second)
		defer cancel()
		settled <- d.settle(ctx, d.enter(ctx, f))
	}()
	return settled
}

// A disk that hangs is not counted on, and is again when it has answered, however long that lasts.
func TestDiskThatAnswersIsCountedOnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, disk := hung(t, 0)
		time.Sleep(2 * diskBudget)
		if d.journal.Usable() {
			t.Error("a disk that hangs is counted on")
		}
		disk.answer()
		synctest.Wait()
		time.Sleep(2 * diskBudget)
		if !d.journal.Usable() {
			t.Error("a disk that has answered is not counted on")
		}
	})
}

// What the API server took while the disk hung is taken back from the journal, but for what the disk
// has been given already.
func TestWhatWasWrittenIsTakenBackFromTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, disk := hung(t, commitBudget+diskBudget/2)
		var pushes []<-chan result
		for i := range maxWrites {
			pushes = append(pushes, d.settled(factOf("a", fmt.Sprint(i))))
		}
		for i, push := range pushes {
			if r := <-push; r.err != nil {
				t.Errorf("%d: %v", i, r.err)
			}
		}
		synctest.Wait()
		disk.answer()
		synctest.Wait()
		if n := d.journal.Stats().Records; n != 1 {
			t.Errorf("the journal keeps %d records, want the one that the disk had been given", n)
		}
	})
}

// What the disk took after all, while it stood in line as well, is written by the drain alone.
func TestWhatIsKeptLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, disk := hung(t, 8*time.Second)
		f := factOf("a", "hot")
		d.lines.join(t.Context(), f) // is being written
		synctest.Wait()
		push := d.settled(f)
		time.Sleep(lineBudget + diskBudget + diskBudget/2)
		disk.answer()
		if r := <-push; r.err != nil {
			t.Fatal(r.err)
		}
		time.Sleep(time.Minute)
		d.mu.Lock()
		defer d.mu.Unlock()
		if n := d.tries[f.Object.name()]; n != 1 {
			t.Errorf("the object was written %d times, want once, for the one before", n)
		}
	})
}

// Where the API server fails while the disk hangs, the disk may still answer in time; what is refused
// for good is not kept.
func TestWhatFailsWhileTheDiskHangs(t *testing.T) {
	for name, why := range map[string]error{"fails": errBehind, "is refused for good": apierrors.NewInvalid(schema.GroupKind{}, "x", nil)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, disk := hung(t, commitBudget+diskBudget/2)
				d.refuse = func(object) error { return why }
				push := d.settled(factOf("a", "1"))
				time.Sleep(commitBudget + diskBudget)
				disk.answer()
				synctest.Wait()
				if r, kept := <-push, d.journal.Stats().Records == 2; kept != (r.err == nil) || kept != errors.Is(why, errBehind) {
					t.Errorf("%+v; kept: %t", r, kept)
				}
			})
		})
	}
}

// Where neither the disk nor the API server answers, a push is told to come again when its time is over,
// and nothing of it stays: neither in line nor for the disk.
func TestWhereNothingAnswersNothingStays(t *testing.T) {
	fails := func(object) error { return errBehind }
	for name, test := range map[string]struct {
		takes  time.Duration
		refuse func(object) error
		behind bool
	}{
		"its write hangs":            {takes: 8 * time.Second},
		"it stands behind one":       {takes: 8 * time.Second, behind: true},
		"its write failed at once":   {takes: 10 * time.Millisecond, refuse: fails},
		"its write failed meanwhile": {takes: commitBudget + diskBudget/2, refuse: fails},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, disk := hung(t, test.takes)
				d.refuse = test.refuse
				f := factOf("a", "1")
				if test.behind {
					d.lines.join(t.Context(), f)
					synctest.Wait()
				}
				start := time.Now()
				if r := <-d.settled(f); !errors.Is(r.err, context.DeadlineExceeded) || r.outcome.Accepted() || time.Since(start) != 4*time.Second {
					t.Errorf("%+v after %s", r, time.Since(start))
				}
				if _, n := d.Standing(); n != 0 {
					t.Errorf("%d stand in line", n)
				}
				disk.answer()
				synctest.Wait()
				if n := d.journal.Stats().Records; n != 1 {
					t.Errorf("%d records, want the one that the disk had", n)
				}
				time.Sleep(time.Minute) // for what is being written
			})
		})
	}
}
