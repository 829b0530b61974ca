package ledger

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// desk is a ledger with a journal, in a bubble, before an API server that is a function.
type desk struct {
	*Ledger
	t       *testing.T
	dir     string
	journal *journal.Journal
	takes   time.Duration
	refuse  func(object) error
	// curt: it refuses in no time.
	curt bool

	mu      sync.Mutex
	tries   map[string]int
	written map[string]time.Time
}

func openDesk(t *testing.T, takes time.Duration, now func() time.Time) *desk {
	return openDeskWith(t, takes, journal.Options{Now: now})
}

func openDeskWith(t *testing.T, takes time.Duration, options journal.Options) *desk {
	dir := memoryDir(t)
	options.Dir = dir
	kept, err := journal.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{Ledger: New(nil, nil, kept), t: t, dir: dir, journal: kept, takes: takes, tries: map[string]int{}, written: map[string]time.Time{}}
	d.lines = newLines(d.write)
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// memoryDir is a directory in memory where the system has such: thousands of writes wait for a
// disk longer than for all else, and what a disk keeps is the journal's own test.
func memoryDir(t *testing.T) string {
	t.Helper()
	var memory syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &memory); err != nil || memory.Bavail*uint64(memory.Bsize) < 256<<20 { // #nosec G115 -- a block's size is positive
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "ledger-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (d *desk) write(_ context.Context, facts []fact) []result {
	o := facts[0].Object
	if !d.curt || d.refuse(o) == nil {
		time.Sleep(d.takes) // in a bubble: no time at all
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tries[o.name()]++
	if d.refuse != nil {
		if err := d.refuse(o); err != nil {
			return all(len(facts), platform.OutcomeRetry, err)
		}
	}
	d.written[o.name()] = time.Now()
	return all(len(facts), platform.OutcomeRecorded, nil)
}

// draining drains until the test is over, and gives what is logged meanwhile.
func (d *desk) draining() (logged func() []string) {
	var mu sync.Mutex
	var text []string
	logger := funcr.New(func(_, args string) { mu.Lock(); defer mu.Unlock(); text = append(text, args) }, funcr.Options{})
	ctx, cancel := context.WithCancel(ctrl.LoggerInto(d.t.Context(), logger))
	over := make(chan struct{})
	go func() { defer close(over); d.drain(ctx) }()
	d.t.Cleanup(func() { cancel(); <-over })
	return func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(text) }
}

func factOf(channel, id string) fact {
	f := noteOf(id, "m-1")
	f.Object.Channel = channel
	return f
}

// put puts one fact for each object into the journal.
func (d *desk) put(facts ...fact) {
	d.t.Helper()
	var group sync.WaitGroup
	for _, f := range facts {
		group.Go(func() {
			data, err := json.Marshal(f)
			if err == nil {
				err = d.journal.Put(d.t.Context(), f.Object.name(), data)
			}
			if err != nil {
				d.t.Error(err)
			}
		})
	}
	group.Wait()
}

// Two thousand objects of one Channel at the same time, and then one of another: that one is
// written on its object, and does not go to the journal.
func TestFloodLeavesWritersToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 50*time.Millisecond, nil)
		var group sync.WaitGroup
		for i := range 2000 {
			w := d.lines.join(t.Context(), factOf("flood", fmt.Sprint(i)))
			group.Go(func() {
				if r := d.settle(t.Context(), w); r.err != nil {
					t.Error(r.err)
				}
			})
		}
		single := d.lines.join(t.Context(), factOf("single", "1"))
		if r := d.settle(t.Context(), single); r.err != nil {
			t.Error(r.err)
		}
		d.mu.Lock()
		if d.written[single.fact.Object.name()].IsZero() {
			t.Error("it was not written")
		}
		d.mu.Unlock()
		group.Wait()
		if records, err := d.journal.Of(single.fact.Object.name(), 1); err != nil || len(records) > 0 {
			t.Errorf("it is in the journal: %d, %v", len(records), err)
		}
		if d.journal.Stats().Records < 1000 {
			t.Error("there was no flood")
		}
	})
}

// Each Channel has its turn; of one the newest comes first, and every fourth is the oldest.
func TestInTurns(t *testing.T) {
	names := func(text string) (all []string) {
		for name := range strings.FieldsSeq(text) {
			all = append(all, "order/travel/"+name)
		}
		return all
	}
	for newestFirst, want := range map[string]string{
		"":                                  "",
		"a/1":                               "a/1",
		"a/9 a/8 a/7 b/6 a/5 c/4 b/3 a/2":   "a/9 b/6 c/4 a/8 b/3 a/7 a/2 a/5",
		"a/9 a/8 a/7 a/6 a/5 a/4 a/3 a/2":   "a/9 a/8 a/7 a/2 a/6 a/5 a/4 a/3",
		"a/9 a/8 a/7 a/6/x a/5/y b/4/z b/3": "a/9 b/4/z a/8 b/3 a/7 a/5/y a/6/x",
	} {
		if got := inTurns(names(newestFirst)); !slices.Equal(got, names(want)) {
			t.Errorf("%q becomes %q, want %q", newestFirst, got, want)
		}
	}
	if got := channelOf("order/travel/fliggy/a/b"); got != "travel/fliggy" {
		t.Errorf("channel %q", got)
	}
	for _, odd := range []string{"", "x", "order/travel", "order/travel/fliggy", "/", "//", "///"} {
		if got := channelOf(odd); len(got) > 1 {
			t.Errorf("%q is of Channel %q", odd, got)
		}
	}
}

// A backlog of one Channel that takes half a minute: what another puts meanwhile is not behind it.
func TestBacklogHoldsUpNoOtherChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 400*time.Millisecond, nil)
		var backlog []fact
		for i := range 2400 {
			backlog = append(backlog, factOf("backlog", fmt.Sprint(i)))
		}
		early := factOf("early", "1")
		d.put(early)
		d.put(backlog...)
		d.draining()
		time.Sleep(time.Second)
		d.mu.Lock()
		if d.written[early.Object.name()].IsZero() {
			t.Error("what another Channel put first was not written in the first second")
		}
		d.mu.Unlock()
		start, late := time.Now(), factOf("late", "1")
		d.put(late)
		time.Sleep(2 * time.Second)
		d.mu.Lock()
		written := d.written[late.Object.name()]
		d.mu.Unlock()
		if written.IsZero() {
			t.Errorf("not written in %s", time.Since(start))
		}
		time.Sleep(4 * time.Second)
		if d.journal.Stats().Records == 0 {
			t.Error("there was no backlog any more")
		}
		// 40 at a time, 400 ms each: 100 a second, and the mean is on its way there.
		if r := d.admission.rate.perSecond(); r > 250 || r < 80 {
			t.Errorf("%v records a second", r)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := d.journal.Stats().Records; n > 0 {
			t.Errorf("%d are left", n)
		}
		// What comes one by one says nothing about the speed.
		before := d.admission.rate.perSecond()
		for i := range 10 {
			d.put(factOf("calm", fmt.Sprint(i)))
			time.Sleep(10 * time.Second)
		}
		if after := d.admission.rate.perSecond(); after != before {
			t.Errorf("the rate went from %v to %v", before, after)
		}
	})
}

// An object that cannot be written for its own sake has a pause of its own. Others are written
// at once. It is set aside when this process has tried for an hour, whatever the clock said
// when it was put, and the log is no longer than that.
func TestStuckObject(t *testing.T) {
	for name, skew := range map[string]time.Duration{
		"clock right": 0, "from the past": -48 * time.Hour, "from the future": 48 * time.Hour,
		"from the beginning of time": -math.MaxInt64 / 4,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := openDesk(t, 10*time.Millisecond, func() time.Time { return time.Now().Add(skew) })
				stuck := factOf("a", "stuck")
				d.refuse = func(o object) error {
					if o.ID == "stuck" {
						return apierrors.NewForbidden(schema.GroupResource{}, "x", nil)
					}
					return nil
				}
				d.put(stuck)
				logged := d.draining()
				time.Sleep(10 * time.Minute)
				for i := range 50 {
					free := factOf("a", fmt.Sprint("free-", i))
					d.put(free)
					time.Sleep(time.Second / 10)
					d.mu.Lock()
					if d.written[free.Object.name()].IsZero() {
						t.Error("another object waits for one that is stuck")
					}
					d.mu.Unlock()
				}
				time.Sleep(49 * time.Minute)
				if stats := d.journal.Stats(); stats.Asides != 0 || stats.Records != 1 {
					t.Errorf("after 59 minutes: %+v", stats)
				}
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if stats := d.journal.Stats(); stats.Asides != 1 || stats.Records != 0 {
					t.Errorf("after 62 minutes: %+v", stats)
				}
				d.mu.Lock()
				if n := d.tries[stuck.Object.name()]; n < 60 || n > 75 {
					t.Errorf("tried %d times in an hour", n)
				}
				d.mu.Unlock()
				if n := len(logged()); n < 55 || n > 65 {
					t.Errorf("%d lines in an hour", n)
				}
				if n := len(d.stuck.objects); n > 0 {
					t.Errorf("%d objects are remembered for nothing", n)
				}
			})
		})
	}
}

// Thousands that are stuck are a handful of lines a minute, and do not keep the rest waiting.
func TestManyStuckObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		d.refuse = func(o object) error {
			if o.Channel == "gone" {
				return apierrors.NewNotFound(schema.GroupResource{}, "namespace")
			}
			return nil
		}
		var stuck []fact
		for i := range 300 {
			stuck = append(stuck, factOf("gone", fmt.Sprint(i)))
		}
		d.put(stuck...)
		logged := d.draining()
		time.Sleep(5 * time.Minute)
		free := factOf("here", "1")
		d.put(free)
		time.Sleep(time.Second)
		d.mu.Lock()
		if d.written[free.Object.name()].IsZero() {
			t.Error("it was not written at once")
		}
		d.mu.Unlock()
		if n := len(logged()); n < 10 || n > 10+5*60+1 {
			t.Errorf("%d lines in five minutes", n)
		}
	})
}

// inDoubts are failures that may be one object's own matter.
var inDoubts = map[string]error{
	"webhook fails":   apierrors.NewInternalError(errors.New("failed calling webhook")),
	"unavailable":     apierrors.NewServiceUnavailable("x"),
	"endless dispute": fmt.Errorf("record: %w", apierrors.NewConflict(schema.GroupResource{}, "x", nil)),
	"hangs":           fmt.Errorf("record: %w", context.DeadlineExceeded),
}

// Where it is in doubt whether the object or the API server fails, as long as others are written
// it is the object's pause alone, a short one, and it is never set aside.
func TestDoubtIsTheObjectsOwn(t *testing.T) {
	for name, why := range inDoubts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := openDesk(t, 10*time.Millisecond, nil)
				mended := false
				d.refuse = func(o object) error {
					if strings.HasPrefix(o.ID, "bad") && !mended {
						return why
					}
					return nil
				}
				d.draining()
				for i := range 600 {
					if i%20 == 0 && i/20 < 2*severalFail { // never many in a row
						d.put(factOf("a", fmt.Sprint("bad-", i/20)))
					}
					free := factOf("a", fmt.Sprint("free-", i))
					d.put(free)
					time.Sleep(time.Second / 10)
					d.mu.Lock()
					if d.written[free.Object.name()].IsZero() {
						t.Errorf("number %d waits for an object that fails", i)
					}
					d.mu.Unlock()
				}
				d.mu.Lock()
				if n := d.tries["order/travel/a/bad-0"]; n < 10 || n > 20 {
					t.Errorf("tried %d times in a minute", n)
				}
				d.mu.Unlock()
				time.Sleep(2 * asideAfter)
				if stats := d.journal.Stats(); stats.Asides > 0 || stats.Records != 2*severalFail {
					t.Errorf("%+v", stats)
				}
				d.mu.Lock()
				mended = true
				d.mu.Unlock()
				time.Sleep(lastDrainRetry + time.Second)
				synctest.Wait()
				if n := d.journal.Stats().Records; n > 0 {
					t.Errorf("%d are left", n)
				}
			})
		})
	}
}

// A Channel's objects that fail at once, each in doubt, hold up no other Channel's: those take
// longer to be written than the others to fail.
func TestDoubtsThatComeAtOnceHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		d.curt, d.refuse = true, func(o object) error {
			if o.Channel == "bad" {
				return apierrors.NewInternalError(errors.New("no endpoints available for service"))
			}
			return nil
		}
		var all []fact
		for i := range 40 {
			all = append(all, factOf("bad", fmt.Sprint(i)), factOf("good", fmt.Sprint(i)))
		}
		d.put(all...)
		d.draining()
		time.Sleep(time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		if n := len(d.written); n != 40 {
			t.Errorf("after a second %d of 40 are written", n)
		}
	})
}

// Thousands that are refused for one reason are set aside with a handful of writes to the file, and
// of lines in the log.
func TestManyAreSetAsideTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		d.refuse = func(object) error { return apierrors.NewInvalid(schema.GroupKind{}, "x", nil) }
		var refused []fact
		for i := range 5 * drainAtOnce {
			refused = append(refused, noteOf("1", fmt.Sprint(i)))
		}
		d.put(refused...)
		before := d.commits()
		logged := d.draining()
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if stats := d.journal.Stats(); stats.Asides != len(refused) || stats.Records != 0 {
			t.Errorf("%+v", stats)
		}
		if n := d.commits() - before; n > 10 { // one for what drainOne takes at a time, and the start's
			t.Errorf("%d writes to the file", n)
		}
		if n := len(logged()); n < 10 || n > 12 {
			t.Errorf("%d lines", n)
		}
	})
}

// commits is how many transactions the journal's file has seen, by its two headers (bbolt's).
func (d *desk) commits() uint64 {
	file, err := os.ReadFile(filepath.Join(d.dir, "journal.db"))
	if err != nil {
		d.t.Fatal(err)
	}
	const txid = 64 // behind the beginning of a header's page
	return max(binary.NativeEndian.Uint64(file[txid:]), binary.NativeEndian.Uint64(file[os.Getpagesize()+txid:]))
}

// While the API server itself fails nothing is tried for long, and no object is blamed for it.
func TestFailingAPIServerIsNoObjectsFault(t *testing.T) {
	failures := maps.Clone(inDoubts)
	failures["no connection"] = errBehind
	failures["too many requests"] = apierrors.NewTooManyRequests("x", 1)
	for name, why := range failures {
		t.Run(name, func(t *testing.T) { failingAPIServer(t, why, 1) })
		t.Run(name+", of many Channels", func(t *testing.T) { failingAPIServer(t, why, 50) })
	}
}

func failingAPIServer(t *testing.T, why error, channels int) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		away := true
		d.refuse = func(object) error {
			if away {
				return why
			}
			return nil
		}
		for i := range 400 {
			d.put(factOf(fmt.Sprint("a-", i%channels), fmt.Sprint(i)))
		}
		d.draining()
		before := d.admission.rate.perSecond()
		const long = 5 * time.Minute
		time.Sleep(long)
		d.mu.Lock()
		tries := 0
		for _, n := range d.tries {
			tries += n
		}
		away = false
		d.mu.Unlock()
		rounds := int(long/lastDrainRetry + 10)
		most := maxDrainers * rounds // whatever was begun when the first fails
		if faultOf(why) == inDoubt {
			most = maxDrainers + channels*(severalFail+rounds)
		}
		if tries > most {
			t.Errorf("%d tries in %s, want at most %d", tries, long, most)
		}
		if got := d.admission.rate.perSecond(); got != before {
			t.Errorf("the rate went from %v to %v", before, got)
		}
		time.Sleep(lastDrainRetry + 5*time.Second)
		synctest.Wait()
		if stats := d.journal.Stats(); stats.Records != 0 || stats.Asides != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rate{mean: assumedRate}
		measure := func(seconds, perSecond int) float64 {
			r.begin()
			for range seconds * 10 {
				time.Sleep(time.Second / 10)
				r.dealtWith(perSecond / 10)
			}
			r.rest()
			return r.perSecond()
		}
		near := func(what string, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > want/20 {
				t.Errorf("%s: %v, want about %v", what, got, want)
			}
		}
		near("nothing measured", r.perSecond(), assumedRate)
		near("ten seconds", measure(10, 1000), 1000-700*math.Exp(-1))
		near("a minute", measure(60, 1000), 1000)
		time.Sleep(time.Hour)
		near("after a rest", r.perSecond(), 1000)
		r.dealtWith(7) // while it rests
		near("slower", measure(120, 20), 20)
	})
}

func TestAdmission(t *testing.T) {
	a := newAdmission(1000)
	a.most = time.Second // 300 records
	for name, test := range map[string]struct {
		mine, all journal.Use
		says      string
	}{
		"empty":                       {journal.Use{}, journal.Use{}, ""},
		"below its share":             {journal.Use{Records: 149}, journal.Use{Records: 149}, ""},
		"at its share":                {journal.Use{Records: 150}, journal.Use{Records: 150}, "Channel travel/x holds its share of the journal"},
		"beside a flood":              {journal.Use{Records: 1}, journal.Use{Records: 200}, ""},
		"the last":                    {journal.Use{}, journal.Use{Records: 299}, ""},
		"nothing is free":             {journal.Use{}, journal.Use{Records: 300}, "the journal would take longer than 1s to drain"},
		"the drain has become slower": {journal.Use{}, journal.Use{Records: 5000}, "the journal would take longer than 1s to drain"},
		"below its share of bytes":    {journal.Use{Bytes: 499}, journal.Use{Bytes: 499}, ""},
		"at its share of bytes":       {journal.Use{Bytes: 500}, journal.Use{Bytes: 500}, "Channel travel/x holds its share of the journal"},
		"bytes beside a flood":        {journal.Use{Bytes: 10}, journal.Use{Bytes: 900}, ""},
	} {
		if err := a.admits("travel/x", test.mine, test.all); test.says == "" && err != nil || test.says != "" && (err == nil || err.Error() != test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
	a.most = 0
	if err := a.admits("travel/x", journal.Use{Records: 1e9}, journal.Use{Records: 1e9}); err != nil {
		t.Errorf("no bound: %v", err)
	}
}
