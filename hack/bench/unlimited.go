package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// leaderOrders is from where on the orders are numbered that a manager with controllers is told
// of here: each order is pushed about to one of the two.
const leaderOrders = 500_000

// unlimitedSection is the first half of section 3: 256 connections push as fast as they
// can, mostly about products that are all there, beside the ceiling of distinct patches. First
// to a standby, then to a manager that also asks and writes statuses.
func (b *bench) unlimitedSection(ctx context.Context, s *stack) error {
	t, err := s.makeTemplates(ctx)
	if err != nil {
		return err
	}
	s.front.answerIn(platformDelay)
	plain := newRaw(s.api, t)
	standby := newReceiver(s, b.plan)
	leader := newReceiver(s, b.plan)
	leader.clock, leader.orders = standby.clock, leaderOrders // it pushes about the same products
	for n := range b.rounds {
		b.say("round %d of %d", n+1, b.rounds)
		ceilings, err := plain.round(ctx, b.plan.raw, false, false)
		if err != nil {
			return err
		}
		if err := plain.clear(ctx); err != nil {
			return err
		}
		for _, r := range []*receiver{standby, leader} {
			if err := r.unlimitedRound(ctx, r == leader, ceilings[patchProducts]); err != nil {
				return err
			}
		}
	}
	for _, r := range []*receiver{standby, leader} {
		for _, w := range r.all() {
			w.Controllers = r == leader
			b.results.Unlimited = append(b.results.Unlimited, Unlimited{Workload: w, Products: b.plan.pool, Orders: ordersAtOnce(b.plan.pool)})
		}
	}
	return nil
}

func (r *receiver) unlimitedRound(ctx context.Context, controllers bool, ceiling float64) error {
	start := r.startStandby
	if controllers {
		start = r.startController
	}
	if err := start(ctx); err != nil {
		return err
	}
	defer r.stopManager()
	if err := r.makeProducts(ctx, r.plan.pool); err != nil {
		return err
	}
	if !controllers {
		if _, err := r.warmUp(ctx, knownProducts(r.clock, 0, r.plan.pool)); err != nil { // a manager with controllers will settle them
			return err
		}
	}
	if controllers { // what a standby left is not to be measured
		if err := r.caughtUp(ctx); err != nil {
			return err
		}
	}
	m, err := r.measure(ctx, workload{name: unlimitedName, ceiling: patchProducts, connections: manyConnections, most: unbounded,
		next:  func() source { return unlimitedMix(r.clock, r.plan.pool, r.orders) },
		after: func(sent int) { r.orders += sent }}, controllers)
	if err != nil {
		return err
	}
	there, err := r.api.look(ctx)
	if err != nil {
		return err
	}
	w := r.note(workload{name: unlimitedName, ceiling: patchProducts, connections: manyConnections}, m, ceiling)
	lost, unsettled := m.book.verify(there)
	if w.Lost += lost; controllers {
		w.Unsettled += unsettled
	}
	return nil
}

// makeProducts pushes about so many products for the first time, unless that was done.
func (s *stack) makeProducts(ctx context.Context, pool int) error {
	if err := s.api.send(ctx, "GET", collection(products, objectName(productID(pool-1))), "", nil); err == nil {
		return nil
	}
	sender := newSender(s.push, fewConnections)
	defer sender.close()
	made := sender.closed(ctx, startTimeout, pool, newProducts(newClock(), 0), newBook())
	if made.acknowledged < pool {
		return errors.Join(fmt.Errorf("%d of %d products were made", made.acknowledged, pool), made.problem)
	}
	_, _, err := s.drained(ctx, time.Minute)
	return err
}
