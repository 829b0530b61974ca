package main

import (
	"context"
	"fmt"
	"time"
)

// platformDelay is how long the fake platform takes to answer.
const platformDelay = 20 * time.Millisecond

// mostSettled is how many pushes wait for their status at most.
const mostSettled = 40_000

// settleTimeout bounds the wait for statuses.
const settleTimeout = 6 * time.Minute

// settleSection is the second half of section 2: a manager that also asks the platform and
// writes statuses is compared with a plain client that writes each status too.
func (b *bench) settleSection(ctx context.Context, s *stack) error {
	t, err := s.makeTemplates(ctx)
	if err != nil {
		return err
	}
	s.front.answerIn(platformDelay)
	plan := b.plan
	plan.load = plan.loadSettled()
	plain, r := newRaw(s.api, t), newReceiver(s, plan)
	for n := range b.rounds {
		b.say("round %d of %d", n+1, b.rounds)
		ceilings, err := plain.round(ctx, b.plan.raw, true, true)
		if err != nil {
			return err
		}
		if err := plain.clear(ctx); err != nil {
			return err
		}
		if err := r.settleRound(ctx, ceilings); err != nil {
			return err
		}
	}
	b.results.Ceilings = append(b.results.Ceilings, plain.all()...)
	b.results.Throughput = append(b.results.Throughput, r.all()...)
	return nil
}

func (r *receiver) settleRound(ctx context.Context, ceilings map[string]float64) error {
	if err := r.startController(ctx); err != nil {
		return err
	}
	defer r.stopManager()
	// No warm-up: what it leaves would take minutes to settle, and does more of one.
	if err := r.caughtUp(ctx); err != nil {
		return err
	}
	for _, load := range []workload{
		r.productsFirst(createProductsStatus),
		r.productsLater(patchProductsStatus),
		r.ordersFirst(createOrdersStatus),
		r.ordersLater(appendOrdersStatus),
		r.hot(patchProductsStatus),
	} {
		load.connections, load.most = fewConnections, min(load.most, mostSettled)
		m, err := r.measure(ctx, load, true)
		if err != nil {
			return fmt.Errorf("%s: %w", load.name, err)
		}
		there, err := r.api.look(ctx)
		if err != nil {
			return err
		}
		w := r.note(load, m, ceilings[load.ceiling])
		lost, unsettled := m.book.verify(there)
		w.Lost, w.Unsettled = w.Lost+lost, w.Unsettled+unsettled
	}
	return nil
}

// settled waits until every status speaks of what was acknowledged, and says how long that
// is after a start. Everything is listed only when the controllers have nothing to do.
func (s *stack) settled(ctx context.Context, b *book, start time.Time) (time.Duration, error) {
	var took time.Duration
	err := until(ctx, settleTimeout, func(ctx context.Context) error {
		if err := s.idle(ctx, settleTimeout); err != nil {
			return err
		}
		took = time.Since(start)
		there, err := s.api.look(ctx)
		if err != nil {
			return err
		}
		if _, unsettled := b.verify(there); unsettled > 0 {
			return fmt.Errorf("%d of %d objects are not settled", unsettled, b.objects())
		}
		return nil
	})
	return took, err
}
