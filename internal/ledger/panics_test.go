package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// secret is what no log may show.
const secret = "PLANTED"

// poisoned is a desk where the writing of every fact panics that is named so.
func poisoned(t *testing.T) (d *desk, wrote func(id string) bool) {
	d = openDesk(t, time.Millisecond, nil)
	var mu sync.Mutex
	written := map[string]bool{}
	d.lines = newLines(func(_ context.Context, facts []fact) []result {
		time.Sleep(time.Millisecond) // in a bubble: no time at all
		for _, f := range facts {
			if f.Order.Notification.ID == "poison" {
				panic(errors.New(secret))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, f := range facts {
			written[f.Object.ID+"/"+f.Order.Notification.ID] = true
		}
		return all(len(facts), platform.OutcomeRecorded, nil)
	})
	return d, func(id string) bool { mu.Lock(); defer mu.Unlock(); return written[id] }
}

// panicsSeen is how many were counted.
func panicsSeen(t *testing.T) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(panicked)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

// A writer that does not say what became of each fact ends nothing: alone, each hears of it.
func TestAResultTooFewEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLines(func(_ context.Context, facts []fact) []result {
			if len(facts) > 1 || facts[0].Order.Notification.ID == "poison" {
				return all(len(facts)-1, platform.OutcomeRecorded, nil)
			}
			return all(1, platform.OutcomeRecorded, nil)
		})
		for i, r := range l.tryWrite(t.Context(), []fact{noteOf("1", "before"), noteOf("1", "poison"), noteOf("1", "after")}) {
			if poison := i == 1; errors.Is(r.err, errPanic) != poison || !poison && r.outcome != platform.OutcomeRecorded {
				t.Errorf("fact %d: %+v", i, r)
			}
		}
	})
}

// A record of the journal whose writing panics is set aside, told and counted; the others of its object
// and of all others are written, and so it is when somebody asks for it again.
func TestPoisonInTheJournalEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, wrote := poisoned(t)
		before := panicsSeen(t)
		for _, f := range []fact{noteOf("1", "before"), noteOf("1", "poison"), noteOf("1", "after"), noteOf("2", "m-1")} {
			d.put(f)
		}
		logged := d.draining()
		for range 2 {
			time.Sleep(time.Minute)
			if stats := d.journal.Stats(); stats.Asides != 1 || stats.Records != 0 || !wrote("1/before") || !wrote("1/after") || !wrote("2/m-1") {
				t.Errorf("%+v", stats)
			}
			d.restore(t.Context())
		}
		time.Sleep(time.Minute)
		text := strings.Join(logged(), "\n")
		if panicsSeen(t)-before < 2 || strings.Contains(text, secret) ||
			!strings.Contains(text, "*errors.errorString") || !strings.Contains(text, "ledger.poisoned.func") {
			t.Errorf("%v counted, told as %s", panicsSeen(t)-before, text)
		}
		if asides := d.journal.Asides(); len(asides) != 1 || !strings.Contains(asides[0].Reason, "panicked") {
			t.Errorf("set aside: %+v", asides)
		}
	})
}

// Where it is the draining of an object that panics, its records stay, it has a pause, and others go on.
func TestPanicOfADrainIsAPauseForItsObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, wrote := poisoned(t)
		d.refusals = nil // to set aside panics
		strange := noteOf("1", "m-1")
		strange.Object.Kind = "invoice"
		before := panicsSeen(t)
		d.put(strange)
		d.put(noteOf("2", "m-1"))
		d.draining()
		time.Sleep(time.Minute)
		d.put(noteOf("3", "m-1"))
		time.Sleep(time.Minute)
		if stats := d.journal.Stats(); stats.Records != 1 || !wrote("2/m-1") || !wrote("3/m-1") {
			t.Errorf("%+v", stats)
		}
		if n := panicsSeen(t) - before; n < 2 || n > 20 {
			t.Errorf("tried %v times in two minutes", n)
		}
	})
}

// A push whose writing panics is to be sent again: it is not acknowledged, and not kept. One in its group
// is written, and the line goes on.
func TestPoisonousPushIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, wrote := poisoned(t)
		facts := []fact{noteOf("1", "first"), noteOf("1", "poison"), noteOf("1", "beside")}
		results := make([]result, len(facts))
		var group sync.WaitGroup
		for i, f := range facts {
			w := d.enter(t.Context(), f)
			group.Go(func() { results[i] = d.settle(t.Context(), w) })
		}
		group.Wait()
		if results[0].err != nil || results[2].err != nil || !errors.Is(results[1].err, errPanic) || results[1].outcome != platform.OutcomeRetry {
			t.Errorf("%+v", results)
		}
		if !wrote("1/first") || !wrote("1/beside") || d.journal.Stats().Records != 0 {
			t.Errorf("%+v", d.journal.Stats())
		}
		d.recorded(noteOf("1", "later"))
		if objects, facts := d.Standing(); objects != 0 || facts != 0 || !wrote("1/later") {
			t.Errorf("%d objects are written, %d facts stand in line", objects, facts)
		}
	})
}

// bare is a cache that has nothing, and to list it panics.
type bare struct{ client.Reader }

func (bare) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// Nor does it end the process where a panic comes while one of many facts of a push settles, or while it is
// looked at what the Channels show.
func TestPanicsBesideTheWritingEndNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := poisoned(t)
		before := panicsSeen(t)
		events := []platform.Event{{Product: &platform.ProductChange{ProductID: "1"}}, {Product: &platform.ProductChange{ProductID: "2"}}}
		outcome, err := d.record(t.Context(), &accounts.Account{}, platform.Push{}, events,
			func(context.Context, fact) *waiting { return &waiting{} }, func(context.Context, *waiting) result { panic(secret) })
		if outcome != platform.OutcomeRetry || !errors.Is(err, errPanic) || strings.Contains(err.Error(), secret) || panicsSeen(t)-before != 2 {
			t.Errorf("%s, %v, %v counted", outcome, err, panicsSeen(t)-before)
		}
		d.cache, d.pushed = bare{}, nil // to look at these panics
		d.put(noteOf("2", "m-1"))
		ctx, stop := context.WithTimeout(t.Context(), 3*lookEvery+time.Second)
		defer stop()
		if err := d.Start(ctx); err != nil || panicsSeen(t)-before != 2+2*3 || d.journal.Stats().Records != 0 {
			t.Errorf("%v, %v counted", err, panicsSeen(t)-before)
		}
	})
}
