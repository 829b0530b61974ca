// Package ledger records what pushes say as facts on Kubernetes objects: it seals,
// names and writes, and it answers only when the fact is durable. Every write is
// idempotent, and the API server itself refuses second copies and older changes, so
// redelivery in any order costs nothing. It knows no HTTP, no platform by name and
// no controller. Commits are direct; group commit and a journal belong here too.
package ledger

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// maxAhead is how much further ahead of our clock than clocks differ a platform's time
// may be. A change dated beyond it counts as announced when it was received, so that
// no push can block those that come after it.
const maxAhead = 10 * time.Minute

// maxAtOnce is how many events of one push are recorded at a time: a batch is about many
// objects, and all of it must be durable within the time that a reply has.
const maxAtOnce = 8

// Ledger writes facts. It is safe for concurrent use.
type Ledger struct {
	api    client.Client
	cache  client.Reader
	pushed *lastPush
}

// New makes a Ledger that writes with a client. The client must not read from a cache:
// what a write is based on must be what the API server holds. Inquiries are answered from
// the cache, which must have AddIndexes' indexes.
func New(api client.Client, cache client.Reader) *Ledger {
	return &Ledger{api: api, cache: cache, pushed: newLastPush(api)}
}

// Record makes the events of one push durable and says what became of them. With an
// error nothing may be acknowledged; sending the push again is safe at any point.
func (l *Ledger) Record(ctx context.Context, account *accounts.Account, push platform.Push, events []platform.Event) (platform.Outcome, error) {
	outcomes := make([]platform.Outcome, len(events))
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(maxAtOnce)
	for i, event := range events {
		group.Go(func() (err error) {
			outcomes[i], err = l.recordOne(together, account, push, event)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return platform.OutcomeRetry, err
	}
	outcome := platform.OutcomeDuplicate
	for _, one := range outcomes {
		outcome = better(outcome, one)
	}
	if outcome == platform.OutcomeRecorded {
		l.pushed.note(account, push.ReceivedAt)
	}
	return outcome, nil
}

// better is the more telling of two accepted outcomes: one recorded event makes a push recorded.
func better(a, b platform.Outcome) platform.Outcome {
	if a == platform.OutcomeRecorded || b == platform.OutcomeDuplicate {
		return a
	}
	return b
}

func (l *Ledger) recordOne(ctx context.Context, account *accounts.Account, push platform.Push, event platform.Event) (platform.Outcome, error) {
	switch {
	case event.Product != nil:
		return l.recordProduct(ctx, account, push, event.Product)
	case event.Order != nil:
		return l.recordOrder(ctx, account, push, event.Order)
	case event.Notice != nil:
		return l.recordNotice(ctx, account, push, event.Notice)
	case event.Credit != nil:
		l.pushed.noteCredit(account, push.ReceivedAt, event.Credit)
		return platform.OutcomeDuplicate, nil // it adds nothing to what the push is acknowledged for
	default:
		return platform.OutcomeRetry, fmt.Errorf("an event of Channel %s says nothing", account.Name)
	}
}
