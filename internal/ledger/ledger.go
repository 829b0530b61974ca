// Package ledger records what pushes say as facts on Kubernetes objects: it seals,
// names and writes, and it answers only when the fact is durable. Every write is
// idempotent, and the API server itself refuses second copies and older changes, so
// redelivery in any order costs nothing. It knows no HTTP, no platform by name and
// no controller.
//
// Each object has one writer at a time. What arrives for it meanwhile is one write with
// the rest of its line, and each push hears what became of its own facts.
package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/quiet"
)

// maxAhead is how much further ahead of our clock than clocks differ a platform's time
// may be. A change dated beyond it counts as announced when it was received, so that
// no push can block those that come after it.
const maxAhead = 10 * time.Minute

// lookEvery is how often it is looked at what is due on the Channels.
const lookEvery = 5 * time.Second

// Ledger writes facts. It is safe for concurrent use.
type Ledger struct {
	// Events tells of what is set aside; nil: nobody is told. It is set before Start.
	Events recorder.EventRecorder

	api       client.Client
	cache     client.Reader
	journal   *journal.Journal // nil: there is none
	pushed    *lastPush
	asides    *asides
	lookEvery time.Duration
	lines     *lines
	seeing    atomic.Bool // the cache is filled
	now       func() time.Time
	unknown   *unknown
	// inHand are the pushes that are on their way to the journal.
	inHand atomic.Int64
	// What follows is there with a journal only.
	objects   func() []string // that have records which wait
	admission *admission
	stuck     *stuck
	refusals  *quiet.Lines // of what is set aside: thousands may be, for one reason
}

// New makes a Ledger that writes with a client. The client must not read from a cache:
// what a write is based on must be what the API server holds. Inquiries are answered from
// the cache, which must have AddIndexes' indexes. Where the API server is away or behind,
// facts are kept in the journal; nil is none, and pushes must then be sent again.
func New(api client.Client, cache client.Reader, kept *journal.Journal) *Ledger {
	l := &Ledger{api: api, cache: cache, journal: kept, pushed: newLastPush(api), asides: newAsides(), unknown: newUnknown(), lookEvery: lookEvery, now: time.Now}
	l.lines = newLines(l.write)
	if kept != nil {
		l.objects = kept.Objects
		l.admission, l.stuck, l.refusals = newAdmission(kept.MaxBytes()), newStuck(), quiet.New(time.Second, 10)
		kept.Admit(channelOf, l.admission.admits)
	}
	return l
}

// NeedLeaderElection is false: every replica receives.
func (l *Ledger) NeedLeaderElection() bool { return false }

// Start drains the journal, and writes now and then what the Channels show of the pushes and
// of what is set aside, until the context ends. The manager calls it when its caches are
// filled.
func (l *Ledger) Start(ctx context.Context) error {
	l.seeing.Store(true)
	var draining sync.WaitGroup
	if l.journal != nil {
		draining.Go(func() { l.drain(ctx) })
	}
	defer draining.Wait()
	ticker := time.NewTicker(l.lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			for _, look := range []func(context.Context){l.pushed.write, l.lookAside, l.settleComing} {
				_ = l.lines.safely(ctx, "what the Channels show", func() error { look(ctx); return nil }) // it was told
			}
		}
	}
}

// Record makes the events of one push durable and says what became of them: on their
// objects or, if that takes too long, in the journal. With an error nothing may be
// acknowledged; sending the push again is safe at any point.
func (l *Ledger) Record(ctx context.Context, account *accounts.Account, push platform.Push, events []platform.Event) (platform.Outcome, error) {
	if l.journal == nil {
		return l.Commit(ctx, account, push, events)
	}
	l.inHand.Add(1)
	done := sync.OnceFunc(func() { l.inHand.Add(-1) })
	defer done()
	enter := func(ctx context.Context, f fact) *waiting {
		w := l.enter(ctx, f)
		if w.done != nil {
			done() // it waits for the API server, and not for us
		}
		return w
	}
	return l.record(ctx, account, push, events, enter, l.settle)
}

// Commit is Record without the journal: what is answered by what was recorded must be on
// its object, where every replica finds it.
func (l *Ledger) Commit(ctx context.Context, account *accounts.Account, push platform.Push, events []platform.Event) (platform.Outcome, error) {
	return l.record(ctx, account, push, events, l.lines.join, l.lines.await)
}

func (l *Ledger) record(ctx context.Context, account *accounts.Account, push platform.Push, events []platform.Event,
	enter func(context.Context, fact) *waiting, settle func(context.Context, *waiting) result) (platform.Outcome, error) {
	facts, err := l.factsOf(account, push, events)
	if err != nil {
		return platform.OutcomeRetry, err
	}
	if err := l.letIn(ctx, account.MaxUnknown, facts); err != nil {
		return platform.OutcomeRetry, err
	}
	results := all(len(facts), platform.OutcomeRetry, errPanic) // which leaves it so
	defer func() { l.letGo(facts, results) }()
	standing := make([]*waiting, 0, len(facts))
	for _, f := range facts {
		standing = append(standing, enter(ctx, f))
	}
	settleOne := func(i int, w *waiting) {
		if err := l.lines.safely(ctx, &w.fact.Object, func() error { results[i] = settle(ctx, w); return nil }); err != nil {
			results[i] = result{platform.OutcomeRetry, err}
		}
	}
	var settling sync.WaitGroup
	for i, w := range standing {
		if i == len(standing)-1 {
			settleOne(i, w) // mostly the only one
			break
		}
		settling.Go(func() { settleOne(i, w) })
	}
	settling.Wait()
	outcome, err := together(results)
	if err != nil {
		return platform.OutcomeRetry, err
	}
	if outcome == platform.OutcomeRecorded {
		l.pushed.note(account, push.ReceivedAt)
	}
	return outcome, nil
}

// together is what became of a push: of all its facts, or the first that failed.
func together(results []result) (platform.Outcome, error) {
	outcome, failed := platform.OutcomeDuplicate, 0
	var first error
	for _, r := range results {
		if r.err == nil {
			outcome = better(outcome, r.outcome)
			continue
		}
		if failed++; first == nil {
			first = r.err
		}
	}
	if failed > 1 {
		first = fmt.Errorf("%w (and %d more of %d)", first, failed-1, len(results))
	}
	return outcome, first
}

// better is the more telling of two accepted outcomes: one recorded event makes a push recorded.
func better(a, b platform.Outcome) platform.Outcome {
	if a == platform.OutcomeRecorded || b == platform.OutcomeDuplicate {
		return a
	}
	return b
}

// write writes facts that are about one object.
func (l *Ledger) write(ctx context.Context, facts []fact) []result {
	mark(facts)
	switch facts[0].Object.Kind {
	case kindOrder:
		return l.writeOrder(ctx, facts)
	case kindProduct:
		return l.writeProduct(ctx, facts)
	case kindChannel:
		return l.writeNotices(ctx, facts)
	}
	return all(len(facts), platform.OutcomeRetry, fmt.Errorf("nothing is known of %s", facts[0].Object))
}
