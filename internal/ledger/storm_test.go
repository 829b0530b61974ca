package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// recorded has facts recorded, all at the same time, as Record does, and gives the time that
// the last needed.
func (d *desk) recorded(facts ...fact) time.Duration {
	d.t.Helper()
	start := time.Now()
	var group sync.WaitGroup
	for _, f := range facts {
		w := d.enter(d.t.Context(), f)
		group.Go(func() {
			if r := d.settle(d.t.Context(), w); r.err != nil {
				d.t.Error(r.err)
			}
		})
	}
	group.Wait()
	return time.Since(start)
}

// What comes faster than the API server takes it goes to the journal at once: only as many
// stand in line as are written within the time that a fact may stand there.
func TestStormStandsInNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 50*time.Millisecond, nil)
		for i := range 100 { // one after the other, until it is known what a write takes
			d.recorded(factOf("a", fmt.Sprint(i)))
		}
		var storm []fact
		for i := range 1000 {
			storm = append(storm, factOf("a", fmt.Sprint("storm-", i)))
		}
		if took := d.recorded(storm...); took > lineBudget+2*50*time.Millisecond {
			t.Errorf("the last waited %s", took)
		}
		// So many are written at a time, and twice as many in 100 ms.
		if n := 1000 - d.journal.Stats().Records; n < 2*maxWrites-8 || n > 5*maxWrites-10 {
			t.Errorf("%d of the storm were written", n)
		}
	})
}

// A flood of one Channel does not send to the journal what comes for another: the Channels have
// their turns, and no more of the flood than of its own goes before it.
func TestFloodIsNotAheadOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 50*time.Millisecond, nil)
		for i := range 100 { // one after the other, until it is known what a write takes
			d.recorded(factOf("a", fmt.Sprint(i)))
		}
		for i := range 500 {
			d.lines.join(t.Context(), factOf("flood", fmt.Sprint(i)))
		}
		synctest.Wait()
		quiet := make([]fact, 10)
		for i := range quiet {
			quiet[i] = factOf("quiet", fmt.Sprint(i))
		}
		if took := d.recorded(quiet...); took > lineBudget+2*50*time.Millisecond {
			t.Errorf("the last waited %s", took)
		}
		if n := d.journal.Stats().Records; n > 0 {
			t.Errorf("%d went to the journal", n)
		}
		// What goes before it is counted by turns, and is no more than there is.
		synctest.Wait()
		d.lines.mu.Lock()
		if before := d.lines.before(channel{"travel", "quiet"}); before != 0 { // it has slots of its own
			t.Errorf("%d go before one of a quiet Channel", before)
		}
		if own, all := d.lines.before(channel{"travel", "flood"}), d.lines.queued[channel{"travel", "flood"}]; own != all || own < 300 {
			t.Errorf("%d of %d go before one more of the flood", own, all)
		}
		d.lines.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		d.lines.mu.Lock()
		defer d.lines.mu.Unlock()
		if len(d.lines.queued) > 0 {
			t.Errorf("remembered for nothing: %v", d.lines.queued)
		}
	})
}

// While the journal keeps much of a Channel, what comes for it goes there too, and not past it;
// what comes for another goes to the API server.
func TestBacklogIsTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		var backlog []fact
		for i := range maxBacklog {
			backlog = append(backlog, factOf("a", fmt.Sprint(i)))
		}
		d.put(backlog...)
		d.recorded(factOf("a", "calm"))
		d.put(factOf("a", "one more"))
		before := d.journal.Stats().Records
		d.recorded(factOf("a", "storm"), factOf("b", "calm"))
		d.mu.Lock()
		defer d.mu.Unlock()
		for name, want := range map[string]bool{"order/travel/a/calm": true, "order/travel/a/storm": false, "order/travel/b/calm": true} {
			if written := !d.written[name].IsZero(); written != want {
				t.Errorf("%s is written: %v", name, written)
			}
		}
		if n := d.journal.Stats().Records; n != before+1 {
			t.Errorf("%d records more", n-before)
		}
	})
}

// The hot object of a calm Channel: what stands in its line goes out in groups, and needs no
// journal.
func TestHotObjectStandsInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		var hot []fact
		for range 4 * maxGroup {
			hot = append(hot, factOf("a", "hot"))
		}
		d.recorded(hot...)
		if n := d.journal.Stats().Records; n > 0 {
			t.Errorf("%d went to the journal", n)
		}
		if n := d.tries["order/travel/a/hot"]; n > 6 {
			t.Errorf("%d writes", n)
		}
	})
}

// Pushes that wait for their answer take the place of what drains; some always does.
func TestDrainGivesWay(t *testing.T) {
	for inHand, want := range map[int64]int{0: maxWrites, 52: maxWrites, 80: 30, 120: 15, 140: 8, 160: minDrainers / 2, 1000: minDrainers / 2} {
		t.Run(fmt.Sprint(inHand), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := openDesk(t, 0, nil)
				p := &pen{}
				d.lines = newLines(p.write)
				d.inHand.Store(inHand)
				var backlog []fact
				for i := range 200 {
					backlog = append(backlog, factOf("a", fmt.Sprint(i)))
				}
				d.put(backlog...)
				before := d.admission.rate.perSecond()
				d.draining()
				time.Sleep(300 * time.Second)
				synctest.Wait()
				if n := d.journal.Stats().Records; n > 0 {
					t.Errorf("%d are left", n)
				}
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.most != want {
					t.Errorf("%d at a time, want %d", p.most, want)
				}
				if measured := d.admission.rate.perSecond() != before; measured != (want >= maxWrites/2) {
					t.Errorf("its speed was measured: %v", measured)
				}
			})
		})
	}
}

// Where each connection of a platform has a slot, an API server that stands still for a moment
// sends nothing to the journal: its pushes wait, and are written.
func TestAMomentsPauseSendsNothingToTheJournal(t *testing.T) {
	const connections, took, pause = 32, 60 * time.Millisecond, time.Second
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, took, nil)
		t.Cleanup(func() { time.Sleep(time.Second) }) // for what is being written when the drain is over
		pauses, end := time.Now().Add(time.Second), time.Now().Add(4*time.Second)
		d.lines = newLines(func(ctx context.Context, facts []fact) []result {
			if now := time.Now(); now.After(pauses) && now.Before(pauses.Add(pause)) {
				time.Sleep(pauses.Add(pause).Sub(now))
			}
			return d.write(ctx, facts)
		})
		d.draining()
		var kept, written atomic.Int64
		var sending sync.WaitGroup
		for n := range connections {
			sending.Go(func() {
				for i := 0; time.Now().Before(end); i++ {
					f := factOf("a", fmt.Sprint(n, "-", i))
					d.recorded(f)
					d.mu.Lock()
					if d.written[f.Object.name()].IsZero() {
						kept.Add(1)
					} else {
						written.Add(1)
					}
					d.mu.Unlock()
					time.Sleep(5 * time.Millisecond) // for the road
				}
			})
		}
		sending.Wait()
		if kept.Load() > 0 || written.Load() < 1000 {
			t.Errorf("%d pushes went to the journal, %d did not", kept.Load(), written.Load())
		}
	})
}

// A Channel whose writes take seconds, or hang, has half of the slots and of the drain at the most, and
// none of what is another's: that is written, and nobody of it is told to come again.
func TestSlowChannelHoldsUpNoOther(t *testing.T) {
	for _, takes := range []time.Duration{time.Second, 3 * time.Second, time.Hour} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := openDesk(t, 10*time.Millisecond, nil)
				d.LimitDrainTime(15 * time.Minute)
				d.lines = newLines(func(ctx context.Context, facts []fact) []result {
					if facts[0].Object.Channel == "sick" {
						select {
						case <-ctx.Done():
							return all(len(facts), platform.OutcomeRetry, fmt.Errorf("record: %w", ctx.Err()))
						case <-time.After(takes):
						}
					}
					return d.write(ctx, facts)
				})
				t.Cleanup(func() { time.Sleep(10 * writeTimeout) }) // for what is being written when the drain is over
				d.draining()
				var sending sync.WaitGroup
				end := time.Now().Add(time.Minute)
				send := func(channel string, every time.Duration, answered func(fact, result)) {
					for i := 0; time.Now().Before(end); i++ {
						f := factOf(channel, fmt.Sprint(i))
						sending.Go(func() { answered(f, d.settle(t.Context(), d.enter(t.Context(), f))) })
						time.Sleep(every)
					}
				}
				var refused atomic.Int64
				sending.Go(func() { send("sick", 20*time.Millisecond, func(fact, result) {}) })
				sending.Go(func() {
					send("well", 10*time.Millisecond, func(_ fact, r result) {
						if r.err != nil {
							refused.Add(1)
						}
					})
				})
				time.Sleep(time.Until(end))
				synctest.Wait()
				if n := d.journal.UseOf("travel/well").Records; n > 100 || refused.Load() > 0 {
					t.Errorf("of a healthy Channel's 6000 pushes %d wait in the journal, and %d were refused", n, refused.Load())
				}
				sending.Wait()
			})
		})
	}
}

// hang makes the writes of some objects hang.
func (d *desk) hang(hangs func(object) bool) {
	d.lines = newLines(func(ctx context.Context, facts []fact) []result {
		if hangs(facts[0].Object) {
			<-ctx.Done()
			return all(len(facts), platform.OutcomeRetry, fmt.Errorf("record: %w", ctx.Err()))
		}
		return d.write(ctx, facts)
	})
	d.t.Cleanup(func() { time.Sleep(10 * writeTimeout) }) // for what is being written when the drain is over
}

// While all writes of a Channel hang, what the journal keeps of another is drained.
func TestHangingChannelLeavesDrainersToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		d.hang(func(o object) bool { return o.Channel == "sick" })
		for i := range 3 * maxDrainers {
			d.put(factOf("sick", fmt.Sprint(i)))
		}
		d.draining()
		synctest.Wait()
		for end := time.Now().Add(writeTimeout / 2); time.Now().Before(end); {
			f := factOf("well", time.Until(end).String())
			d.put(f)
			time.Sleep(lookPause + 50*time.Millisecond)
			d.mu.Lock()
			if d.written[f.Object.name()].IsZero() {
				t.Errorf("%s before the end a record waits", f.Object.ID)
			}
			d.mu.Unlock()
		}
	})
}

// Nor does it hold up another when its writes have hung for as long as they may, and are tried again
// and again: those doubts are about that Channel alone.
func TestDoubtsOfAChannelAreItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		mended := atomic.Bool{}
		d.hang(func(o object) bool { return o.Channel == "sick" && !mended.Load() })
		for i := range 3 * maxDrainers {
			d.put(factOf("sick", fmt.Sprint(i)))
		}
		d.draining()
		synctest.Wait()
		start := time.Now()
		for end := start.Add(5 * writeTimeout); time.Now().Before(end); {
			f := factOf("well", time.Until(end).String())
			d.put(f)
			time.Sleep(lookPause + 50*time.Millisecond)
			d.mu.Lock()
			if d.written[f.Object.name()].IsZero() {
				t.Fatalf("after %s a record waits", time.Since(start))
			}
			d.mu.Unlock()
		}
		mended.Store(true)
		time.Sleep(2*writeTimeout + lastDrainRetry)
		if n := d.journal.Stats().Records; n > 0 {
			t.Errorf("%d are left", n)
		}
	})
}

// An object whose write hangs keeps no other in the journal, however much of it is there.
func TestHangingObjectHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		d.hang(func(o object) bool { return o.ID == "hangs" })
		for range 256 {
			d.put(factOf("a", "hangs"))
		}
		d.draining()
		for i := range 600 {
			f := factOf("a", fmt.Sprint(i))
			d.put(f)
			time.Sleep(lookPause + 50*time.Millisecond)
			d.mu.Lock()
			if d.written[f.Object.name()].IsZero() {
				t.Errorf("record %d waits", i)
			}
			d.mu.Unlock()
		}
	})
}

// To look what waits in the journal takes no more than its share of the time, also where all that was
// found is written at once and more comes all the time; and where it has rested, it is looked at once.
func TestLooksTakeNoMoreThanTheirShare(t *testing.T) {
	const takes = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, time.Millisecond, nil)
		var looking atomic.Int64
		d.objects = func() []string {
			time.Sleep(takes) // as with very many that have a pause of their own
			looking.Add(int64(takes))
			return d.journal.Objects()
		}
		d.draining()
		begun := time.Now()
		for i := range 1000 {
			d.put(factOf("a", fmt.Sprint(i)))
			time.Sleep(3 * time.Millisecond)
		}
		if share := time.Since(begun) / time.Duration(looking.Load()); share < lookShare-2 {
			t.Errorf("one part in %d of the time was spent with looking", share)
		}
		time.Sleep(time.Minute)
		d.put(factOf("a", "fresh"))
		time.Sleep(2 * takes)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.written["order/travel/a/fresh"].IsZero() || len(d.written) != 1001 {
			t.Errorf("%d are written", len(d.written))
		}
	})
}

// An API server that hangs says nothing about the drain's speed: the journal goes on taking what
// it is there for.
func TestHangingAPIServerShutsNoJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, writeTimeout, nil)
		d.LimitDrainTime(15 * time.Minute)
		d.refuse = func(object) error { return context.DeadlineExceeded }
		for i := range 60 {
			d.put(factOf("a", fmt.Sprint(i)))
		}
		before := d.admission.rate.perSecond()
		t.Cleanup(func() { time.Sleep(2 * writeTimeout) }) // for what is being written when the drain is over
		d.draining()
		for i := range 20 {
			time.Sleep(15 * time.Second)
			if r := d.settle(t.Context(), &waiting{fact: factOf("b", fmt.Sprint(i))}); r.err != nil {
				t.Fatal(r.err)
			}
		}
		if after := d.admission.rate.perSecond(); after != before {
			t.Errorf("the rate went from %v to %v", before, after)
		}
	})
}

// An object for which something comes all the time keeps no other in the journal.
func TestHotObjectHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		hot, stop := factOf("a", "hot"), make(chan struct{})
		d.put(hot)
		var coming sync.WaitGroup
		coming.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					d.put(hot)
				}
			}
		})
		t.Cleanup(func() { time.Sleep(time.Second) }) // for what is being written when the drain is over
		d.draining()
		time.Sleep(time.Second)
		others := []fact{factOf("a", "1"), factOf("b", "1")}
		d.put(others...)
		time.Sleep(5 * time.Second)
		d.mu.Lock()
		for _, other := range others {
			if d.written[other.Object.name()].IsZero() {
				t.Errorf("%s is not written", other.Object)
			}
		}
		d.mu.Unlock()
		close(stop)
		coming.Wait()
	})
}

// What another version put into the journal and this one does not know is set aside, and keeps
// nothing else waiting.
func TestRecordOfAnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, time.Millisecond, nil)
		known := factOf("a", "1")
		strange, empty := factOf("a", "2"), factOf("a", "3")
		strange.Object.Kind, empty.Order = "invoice", nil
		d.put(strange, empty, known)
		newer, err := json.Marshal(factOf("a", "4"))
		if err != nil {
			t.Fatal(err)
		}
		newer = append(newer[:len(newer)-1], `,"said":"later"}`...)
		if err := d.journal.Put(t.Context(), factOf("a", "4").Object.name(), newer); err != nil {
			t.Fatal(err)
		}
		d.draining()
		time.Sleep(time.Minute)
		if stats := d.journal.Stats(); stats.Asides != 3 || stats.Records != 0 || d.written[known.Object.name()].IsZero() {
			t.Errorf("%+v", stats)
		}
	})
}

// What the journal does not take is written all the same, where the API server is well: behind
// a backlog nobody need be told to come again.
func TestFullJournalIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		for i := range maxBacklog + 1 {
			d.put(factOf("a", fmt.Sprint(i)))
		}
		d.LimitDrainTime(time.Millisecond) // nothing is drained within that
		d.recorded(factOf("a", "calm"))
		if d.written["order/travel/a/calm"].IsZero() {
			t.Error("it was not written")
		}
		// But what would stand in line there for long would keep the backlog where it is.
		crowd := factOf("a", "crowd")
		d.lines.paces[crowd.Object.channel()] = 2 * lineBudget
		d.lines.join(t.Context(), crowd)
		if r := d.settle(t.Context(), d.enter(t.Context(), crowd)); r.err == nil {
			t.Error("it was written past a backlog, in a crowd")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		d.refuse = func(object) error { return context.DeadlineExceeded }
		r := d.settle(t.Context(), d.enter(t.Context(), factOf("a", "away")))
		if r.err == nil || !strings.Contains(r.err.Error(), "the journal would take longer than 1ms to drain") {
			t.Errorf("%v", r.err)
		}
	})
}

// A journal that takes nothing is no worse than none: what the API server takes in time is
// acknowledged, also where it takes longer than a fact stands in line else, or than a write may take
// before it is kept.
func TestFullJournalCutsNoBudget(t *testing.T) {
	for name, test := range map[string]struct{ takes, pace time.Duration }{
		"nothing is known of its pace":  {300 * time.Millisecond, 0},
		"it is known to be slow":        {300 * time.Millisecond, 300 * time.Millisecond},
		"it is slower than a write may": {commitBudget + 500*time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := openDesk(t, test.takes, nil)
				var written atomic.Int64
				d.lines = newLines(func(ctx context.Context, facts []fact) []result {
					written.Add(int64(len(facts)))
					return d.write(ctx, facts)
				})
				d.lines.pace = test.pace
				d.LimitDrainTime(time.Millisecond) // nothing is drained within that
				var pushing sync.WaitGroup
				for range 20 {
					pushing.Go(func() {
						// As long as a push has, and as long as the second write at the latest takes.
						ctx, cancel := context.WithTimeout(t.Context(), max(4*time.Second, 2*test.takes))
						defer cancel()
						f := factOf("a", "hot")
						if r := d.settle(ctx, d.enter(ctx, f)); r.err != nil {
							t.Error(r.err)
						}
					})
					time.Sleep(50 * time.Millisecond)
				}
				pushing.Wait()
				time.Sleep(time.Minute)
				if n := written.Load(); n != 20 {
					t.Errorf("%d facts were written", n) // each once
				}
			})
		})
	}
}
