package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// sicken has the writes of Channels that are not well fail in doubt, at once or after they hung.
func (d *desk) sicken(hangs bool, well func(object) bool) {
	d.lines = newLines(func(ctx context.Context, facts []fact) []result {
		switch {
		case well(facts[0].Object):
			return d.write(ctx, facts)
		case hangs:
			<-ctx.Done()
			return all(len(facts), platform.OutcomeRetry, fmt.Errorf("record: %w", ctx.Err()))
		}
		return all(len(facts), platform.OutcomeRetry, apierrors.NewInternalError(errors.New("webhook")))
	})
	d.t.Cleanup(func() { time.Sleep(2 * writeTimeout) }) // until those that hang have given up
}

// However many Channels fail or hang, and objects of others, what is kept of one that is well is
// written as if they were not there, but for the slots that they have until the first have hung.
func TestSickChannelsHoldUpNoOther(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		for _, sick := range []int{1, 2, 3} {
			t.Run(fmt.Sprintf("%d, hanging %t", sick, hangs), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := openDesk(t, 100*time.Millisecond, nil)
					d.sicken(hangs, func(o object) bool { return o.Channel == "well" || o.Channel == "other" && o.ID != "bad" })
					d.put(factOf("other", "bad"))
					for s := range sick {
						for i := range 100 {
							d.put(factOf(fmt.Sprint("sick-", s), fmt.Sprint(i)))
						}
					}
					const many = 5000
					kept := make([]fact, 0, many)
					for i := range many {
						kept = append(kept, factOf("well", fmt.Sprint(i)))
					}
					d.put(kept...)
					d.draining()
					time.Sleep(many/maxWrites*100*time.Millisecond + 3*time.Second)
					if hangs {
						time.Sleep(writeTimeout) // so long the first of them have slots
					}
					d.mu.Lock()
					defer d.mu.Unlock()
					if n := len(d.written); n != many {
						t.Errorf("%d of %d were written", n, many)
					}
				})
			})
		}
	}
}

// Nor does what comes of one that is well wait.
func TestSickChannelsDelayNothingFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		d.sicken(true, func(o object) bool { return o.Channel == "well" })
		for i := range maxDrainers {
			for s := range 3 {
				d.put(factOf(fmt.Sprint("sick-", s), fmt.Sprint(i)))
			}
		}
		d.draining()
		for i := range 120 {
			time.Sleep(491 * time.Millisecond) // at any point of the others' pauses
			if took := d.freshTakes(factOf("well", fmt.Sprint(i))); took > 200*time.Millisecond {
				t.Errorf("after %d: %s", i, took)
			}
		}
	})
}

// freshTakes is how long a fact waits in the journal, in steps of 20 ms and for ten minutes at most.
func (d *desk) freshTakes(f fact) time.Duration {
	d.put(f)
	start := time.Now()
	for time.Since(start) < 10*time.Minute {
		time.Sleep(20 * time.Millisecond)
		d.mu.Lock()
		written := !d.written[f.Object.name()].IsZero()
		d.mu.Unlock()
		if written {
			break
		}
	}
	return time.Since(start)
}

// A Channel that has rested is tried by one object at a time, until one is answered; then it goes on as
// if nothing had been.
func TestAilingChannelIsTriedByOneObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		var ails atomic.Bool
		var tried atomic.Int64
		d.lines = newLines(func(ctx context.Context, facts []fact) []result {
			if !ails.Load() {
				return d.write(ctx, facts)
			}
			tried.Add(1)
			return all(len(facts), platform.OutcomeRetry, apierrors.NewInternalError(errors.New("webhook")))
		})
		ails.Store(true)
		const many = 1000
		for i := range many {
			d.put(factOf("a", fmt.Sprint(i)))
		}
		d.draining()
		time.Sleep(time.Minute)
		before := tried.Load()
		time.Sleep(10 * time.Minute)
		if n, most := tried.Load()-before, int64(10*time.Minute/lastDrainRetry); n < most/2 || n > most {
			t.Errorf("%d tries in ten minutes, want about %d", n, most)
		}
		ails.Store(false)
		time.Sleep(lastDrainRetry + many/maxWrites*10*time.Millisecond + 2*time.Second)
		if left := d.journal.Stats().Records; left != 0 {
			t.Errorf("%d records are left", left)
		}
	})
}

// A look that took long, as the process stood still, delays what is fresh by no more than its bound.
func TestOneSlowLookDelaysLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, time.Millisecond, nil)
		var once sync.Once
		d.objects = func() []string {
			once.Do(func() { time.Sleep(1500 * time.Millisecond) })
			return d.journal.Objects()
		}
		d.put(factOf("a", "0"))
		d.draining()
		time.Sleep(1600 * time.Millisecond)
		if took := d.freshTakes(factOf("a", "fresh")); took > mostLookPause {
			t.Errorf("it waited %s", took)
		}
	})
}

// Whatever else is known of an object that is held, the drain is told when the first pause is over.
func TestNextTellsOfWhatIsHeld(t *testing.T) {
	for range 50 { // in any order of a map
		s := newStuck()
		s.triedFor("order/travel/a/2", 2)
		s.pause("order/travel/b/1", nil, inDoubt)
		if s.next() == nil {
			t.Fatal("never")
		}
	}
}

// A Channel whose writes hang is no reason to keep a busy object of another one in the journal, or to
// send its pushes away where the journal takes none.
func TestPaceIsTheChannelsOwn(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprint("journal full: ", full), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := openDesk(t, 30*time.Millisecond, nil)
				d.sicken(true, func(o object) bool { return o.Channel == "well" })
				if full {
					d.LimitDrainTime(time.Millisecond)
				}
				d.draining()
				var sending sync.WaitGroup
				push := func(f fact) (refused bool) {
					ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
					defer cancel()
					return d.settle(ctx, d.enter(ctx, f)).err != nil
				}
				for i := range 2000 {
					if i%5 == 0 {
						sending.Go(func() { push(factOf("sick", fmt.Sprint(i))) })
					}
					sending.Go(func() {
						if push(factOf("well", "hot")) {
							t.Error("a push was refused")
						}
					})
					time.Sleep(10 * time.Millisecond)
					if n := d.journal.UseOf("travel/well").Records; n > 0 {
						t.Fatalf("the journal has %d of the Channel that is well", n)
					}
				}
				sending.Wait()
			})
		})
	}
}
