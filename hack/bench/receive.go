package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fewConnections and manyConnections are how many a platform has open.
const (
	fewConnections  = 32
	manyConnections = 256
)

// unbounded is more pushes than any measurement makes.
const unbounded = 1 << 30

// workload is what one measurement pushes, and what it is compared with.
type workload struct {
	name, ceiling string
	connections   int
	// next makes the pushes of one measurement; most bounds them. after is told how many
	// were sent.
	next  func() source
	most  int
	after func(sent int)
}

// span is objects that were pushed about, by their numbers.
type span struct{ from, count int }

// measured is one round of a workload.
type measured struct {
	tally    tally
	journal  int
	requests requests
	drain    time.Duration
	settled  time.Duration // with controllers; from the first push
	book     *book
}

// receiver measures workloads on one stack, round after round.
type receiver struct {
	*stack
	plan  plan
	clock *clock
	// Numbers from which on no product and no order was pushed about.
	products, orders int
	// What was new last, and so is known; told is how often the orders were pushed.
	knownProducts, knownOrders span
	told                       int
	workloads                  map[string]*Workload
	names                      []string
}

func newReceiver(s *stack, p plan) *receiver {
	return &receiver{stack: s, plan: p, clock: newClock(), workloads: map[string]*Workload{}}
}

// receiveSection is the first half of section 2: a standby, which receives and records, is
// compared with a plain client that makes the same writes. In each round first the plain
// client is measured, with no manager running, and then the manager.
func (b *bench) receiveSection(ctx context.Context, s *stack) error {
	t, err := s.makeTemplates(ctx)
	if err != nil {
		return err
	}
	plain, r := newRaw(s.api, t), newReceiver(s, b.plan)
	for n := range b.rounds {
		b.say("round %d of %d", n+1, b.rounds)
		ceilings, err := plain.round(ctx, b.plan.judged, false, true)
		if err != nil {
			return err
		}
		if err := plain.one(ctx, b.plan.raw); err != nil {
			return err
		}
		if err := r.receiveRound(ctx, ceilings); err != nil {
			return err
		}
	}
	b.results.Ceilings = append(b.results.Ceilings, plain.all()...)
	b.results.Throughput = append(b.results.Throughput, r.all()...)
	return nil
}

// receiveRound measures every workload once, and then looks whether all is there.
func (r *receiver) receiveRound(ctx context.Context, ceilings map[string]float64) error {
	if err := r.startStandby(ctx); err != nil {
		return err
	}
	defer r.stopManager()
	if err := r.fill(ctx); err != nil {
		return err
	}
	var rounds []func(standing)
	for _, load := range r.receives() {
		m, err := r.measure(ctx, load, false)
		if err != nil {
			return fmt.Errorf("%s, %d connections: %w", load.name, load.connections, err)
		}
		w := r.note(load, m, ceilings[load.ceiling])
		rounds = append(rounds, func(there standing) {
			lost, _ := m.book.verify(there)
			w.Lost += lost
		})
	}
	there, err := r.api.look(ctx)
	if err != nil {
		return err
	}
	for _, check := range rounds {
		check(there)
	}
	return nil
}

// mostWarmUps bounds how long is waited for a manager's caches.
const mostWarmUps = 20

// fill warms up until the manager's caches are filled: from then on it makes a new product with
// one request, and until then it tries first to patch what may be there. A manager receives before,
// more slowly, and that is not what is measured here.
func (r *receiver) fill(ctx context.Context) error {
	for range mostWarmUps {
		before, err := r.api.requestsSoFar(ctx)
		if err != nil {
			return err
		}
		made, err := r.warmUp(ctx, newProducts(r.clock, r.products))
		if r.products += made; err != nil {
			return err
		}
		now, err := r.api.requestsSoFar(ctx)
		if err != nil || now.since(before).Refused == 0 {
			return err
		}
	}
	return fmt.Errorf("the manager's caches are not filled after it was warmed up %d times", mostWarmUps)
}

// warmUp pushes for a while and counts nothing but how often: the manager has just been started,
// and its caches fill.
func (r *receiver) warmUp(ctx context.Context, next source) (sent int, err error) {
	sender := newSender(r.push, fewConnections)
	defer sender.close()
	tally := sender.closed(ctx, r.plan.raw, r.plan.mostNew, next, newBook())
	if tally.acknowledged == 0 {
		return tally.sent, errors.Join(errors.New("nothing was acknowledged"), tally.problem)
	}
	_, _, err = r.drained(ctx, r.plan.drain)
	return tally.sent, err
}

// receives are the workloads of one round. New objects come first: later pushes are about
// those that are there then.
func (r *receiver) receives() []workload {
	var all []workload
	for _, kind := range []workload{
		r.productsFirst(createProducts),
		r.productsLater(patchProducts),
		r.ordersFirst(createOrders),
		r.ordersLater(appendOrders),
		r.hot(patchProducts),
		r.zipf(patchProducts),
	} {
		for _, kind.connections = range []int{fewConnections, manyConnections} {
			all = append(all, kind)
		}
	}
	return all
}

func (r *receiver) productsFirst(ceiling string) workload {
	return workload{name: "distinct products, first push", ceiling: ceiling, most: r.plan.mostNew,
		next:  func() source { return newProducts(r.clock, r.products) },
		after: func(sent int) { r.knownProducts = span{r.products, sent}; r.products += sent },
	}
}

// productsLater are about those that were new last, one after the other, round and round.
func (r *receiver) productsLater(ceiling string) workload {
	return workload{name: "distinct products, later pushes", ceiling: ceiling, most: unbounded,
		next: func() source { return knownProducts(r.clock, r.knownProducts.from, r.knownProducts.count) },
	}
}

func (r *receiver) ordersFirst(ceiling string) workload {
	return workload{name: "distinct orders, first push", ceiling: ceiling, most: r.plan.mostNew,
		next:  func() source { return newOrders(r.orders) },
		after: func(sent int) { r.knownOrders, r.told = span{r.orders, sent}, 1; r.orders += sent },
	}
}

// mostTold is how often an order is pushed in one measurement at most: its list is bounded.
const mostTold = 50

func (r *receiver) ordersLater(ceiling string) workload {
	return workload{name: "distinct orders, later pushes", ceiling: ceiling, most: mostTold * r.plan.mostNew,
		next:  func() source { return laterPushes(r.knownOrders.from, r.knownOrders.count, r.told) },
		after: func(sent int) { r.told += 1 + sent/r.knownOrders.count },
	}
}

func (r *receiver) hot(ceiling string) workload {
	return workload{name: hotName, ceiling: ceiling, most: unbounded,
		next: func() source { return hotProduct(r.clock, r.knownProducts.from) },
	}
}

func (r *receiver) zipf(ceiling string) workload {
	return workload{name: zipfName, ceiling: ceiling, most: unbounded,
		next:  func() source { return zipfMix(r.clock, r.products, r.orders, uint64(r.orders)) }, // #nosec G115 -- a count
		after: func(sent int) { r.products += zipfProducts; r.orders += sent },
	}
}

// measure pushes one workload, and waits until nothing of it is in the journal; with
// controllers, until every status speaks of it.
func (r *receiver) measure(ctx context.Context, load workload, controllers bool) (measured, error) {
	m := measured{book: newBook()}
	puts, err := r.journalPuts(ctx)
	if err != nil {
		return m, err
	}
	before, err := r.api.requestsSoFar(ctx)
	if err != nil {
		return m, err
	}
	sender := newSender(r.push, load.connections)
	defer sender.close()
	start := time.Now()
	m.tally = sender.closed(ctx, r.loadOf(load, controllers), load.most, load.next(), m.book)
	if load.after != nil {
		load.after(m.tally.sent)
	}
	after, err := r.journalPuts(ctx)
	if err != nil {
		return m, err
	}
	m.journal = after - puts
	if m.drain, _, err = r.drained(ctx, r.plan.drain); err != nil {
		return m, err
	}
	if controllers {
		if m.settled, err = r.settled(ctx, m.book, start); err != nil {
			return m, err
		}
	}
	now, err := r.api.requestsSoFar(ctx)
	m.requests = now.since(before)
	if m.tally.acknowledged == 0 && err == nil {
		err = errors.Join(errors.New("nothing was acknowledged"), m.tally.problem)
	}
	return m, err
}

// unlimitedName is the workload that goes on for as long as the plan says for it.
const unlimitedName = "offered without limit"

func (r *receiver) loadOf(load workload, controllers bool) time.Duration {
	switch {
	case load.name == unlimitedName:
		return r.plan.unlimited
	case !controllers && hasRate(load.name, load.connections):
		return r.plan.judged
	}
	return r.plan.loadOf(load.connections)
}

// note adds a round to a workload's figures.
func (r *receiver) note(load workload, m measured, ceiling float64) *Workload {
	key := fmt.Sprint(load.name, load.connections)
	w, known := r.workloads[key]
	if !known {
		w = &Workload{Name: load.name, Connections: load.connections, Ceiling: load.ceiling, Controllers: m.settled > 0}
		r.workloads[key] = w
		r.names = append(r.names, key)
	}
	w.add(m, ceiling)
	return w
}

// add takes in one round.
func (w *Workload) add(m measured, ceiling float64) {
	acknowledged := float64(m.tally.acknowledged)
	rate := m.tally.perSecond()
	committed := rate * max(0, 1-per(float64(m.journal), acknowledged))
	w.Acknowledged.add(rate)
	w.AcknowledgedRatio.add(per(rate, ceiling))
	w.Committed.add(committed)
	w.CommittedRatio.add(per(committed, ceiling))
	if m.settled > 0 {
		settled := acknowledged / m.settled.Seconds()
		w.Settled.add(settled)
		w.SettledRatio.add(per(settled, ceiling))
	}
	times := quantilesOf(m.tally.replies)
	w.P50.add(times.P50)
	w.P99.add(times.P99)
	w.Max.add(times.Max)
	w.Curve = times.Curve
	writes := writesOfObjects(m.requests)
	w.Writes.add(per(float64(writes), acknowledged))
	w.Requests.add(per(float64(writes+m.requests.Refused), acknowledged))
	w.ChannelWrites += m.requests.Writes - writes
	w.Events.add(per(float64(m.requests.Events), acknowledged))
	w.Journal.add(per(float64(m.journal), acknowledged))
	w.Drain.add(m.drain.Seconds())
	w.TryAgain += m.tally.tryAgain
	w.Failed += m.tally.failed
	w.Told.add(m.book.told())
}

// all are the workloads, in the order of their first round.
func (r *receiver) all() []Workload {
	var all []Workload
	for _, name := range r.names {
		all = append(all, *r.workloads[name])
	}
	return all
}
