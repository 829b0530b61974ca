package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// burstConnections bounds the connections, and so what can be under way at a time.
	burstConnections = 512
	// burstFactor is how many times the ceiling is offered.
	burstFactor = 10
)

// burstSection is the second half of section 3: ten times the ceiling of distinct patches
// is offered, three quarters of it changes of products and the rest pushes of orders, and
// meanwhile the API server is paused, and later killed and started again. Nothing acknowledged
// may be lost.
func (b *bench) burstSection(ctx context.Context, s *stack) error {
	t, err := s.makeTemplates(ctx)
	if err != nil {
		return err
	}
	s.front.answerIn(platformDelay)
	plain := newRaw(s.api, t)
	for range b.rounds {
		if _, err := plain.round(ctx, b.plan.raw, false, false); err != nil {
			return err
		}
	}
	if err := plain.clear(ctx); err != nil {
		return err
	}
	if err := s.startController(ctx); err != nil {
		return err
	}
	if err := errors.Join(s.makeProducts(ctx, b.plan.pool), s.caughtUp(ctx)); err != nil {
		return err
	}
	ceiling := plain.ceilings[patchProducts].PerSecond.Median
	result, err := b.rage(ctx, s, ceiling)
	b.results.Burst = result
	return err
}

// burstMix is what a burst pushes: of four pushes three change a product of the pool, and
// one is the next of an order, of which each gets mixedPushes.
func burstMix(c *clock, pool int) source {
	return func(n int) push {
		if n%mixedOrder == 0 {
			which := n / mixedOrder
			return orderPush(orderID(which/mixedPushes), which%mixedPushes)
		}
		return productPush(productID(n%pool), c.tick())
	}
}

func (b *bench) rage(ctx context.Context, s *stack, ceiling float64) (*Burst, error) {
	sender := newSender(s.push, burstConnections)
	defer sender.close()
	puts, err := s.journalPuts(ctx)
	if err != nil {
		return nil, err
	}
	result := &Burst{CeilingPerSecond: ceiling, OfferedPerSecond: burstFactor * ceiling, Connections: burstConnections, Seconds: b.plan.burst.Seconds()}
	told, start := newBook(), time.Now()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var beside sync.WaitGroup
	var failure error
	var records *recorder
	beside.Go(func() { records = s.record(watching, start) })
	outage := make(chan struct{})
	go func() {
		defer close(outage)
		result.Outages, failure = b.fail(ctx, s, start)
	}()
	tally := sender.open(ctx, openLoad{perSecond: result.OfferedPerSecond, duration: b.plan.burst, fromSending: true,
		next: burstMix(newClock(), b.plan.pool)}, told)
	ended := time.Now()
	<-outage
	if err := errors.Join(failure, ctx.Err()); err != nil {
		return nil, err
	}
	after, err := s.journalPuts(ctx)
	if err != nil {
		return nil, err
	}
	_, aside, drainErr := s.drained(ctx, b.plan.drain)
	result.DrainSeconds, result.Drained, result.SetAside = time.Since(ended).Seconds(), drainErr == nil, aside
	stopWatching()
	beside.Wait()
	result.count(tally, after-puts, records)
	there, err := s.api.look(ctx)
	if err != nil {
		return nil, err
	}
	result.Told = told.told()
	if result.Lost, _ = told.verify(there); !result.Drained {
		b.say("the journal is not empty after %s: what is still in it counts as lost here (%v)", b.plan.drain, drainErr)
	}
	return result, ctx.Err()
}

// count takes in what became of the pushes.
func (r *Burst) count(t tally, journal int, records *recorder) {
	r.Offered, r.Unsent = t.offered, t.unsent
	r.Acknowledged, r.TryAgain, r.Failed, r.Journal = t.acknowledged, t.tryAgain, t.failed, journal
	if t.problem != nil {
		r.Problem = t.problem.Error()
	}
	r.Reply = quantilesOf(t.replies)
	r.Timeline, r.MostRecords = t.moments, records.most
	for len(r.Timeline) < len(records.bySecond) {
		r.Timeline = append(r.Timeline, Moment{Second: len(r.Timeline)})
	}
	for i := range r.Timeline {
		r.Timeline[i].Records = records.at(i)
	}
}

// recorder notes how many records the journal holds, second by second.
type recorder struct {
	bySecond []int
	most     int
}

func (r *recorder) at(second int) int {
	if second >= len(r.bySecond) {
		return -1
	}
	return r.bySecond[second]
}

func (s *stack) record(ctx context.Context, start time.Time) *recorder {
	r := &recorder{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return r
		case <-tick.C:
		}
		records, err := s.gauge(ctx, "channel_operator_journal_records")
		if ctx.Err() != nil {
			return r
		}
		for len(r.bySecond) < int(time.Since(start)/time.Second) {
			r.bySecond = append(r.bySecond, -1)
		}
		if last := len(r.bySecond) - 1; err == nil && last >= 0 {
			r.bySecond[last] = int(records)
			r.most = max(r.most, int(records))
		}
	}
}

// Inside is for how many seconds of the burst the API server was out in one way. The time that
// one takes to start again is not counted.
func (r *Burst) Inside(what string) float64 {
	var seconds float64
	for _, o := range r.Outages {
		if o.What == what {
			seconds += max(0, min(cmp.Or(o.Again, o.To), r.Seconds)-o.From)
		}
	}
	return seconds
}

// fail pauses the API server, and later kills it, and starts it again. When it returns the
// API server is back. An outage is timed from after
// the signal that begins it, and to before the one that ends it.
func (b *bench) fail(ctx context.Context, s *stack, start time.Time) ([]Outage, error) {
	pid, err := s.apiServerPid()
	if err != nil {
		return nil, err
	}
	at := func(d time.Duration) bool { return sleep(ctx, time.Until(start.Add(d))) }
	if !at(b.plan.pause) {
		return nil, ctx.Err()
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	paused := Outage{What: "paused", From: time.Since(start).Seconds()}
	sleep(ctx, b.plan.paused)
	paused.To = time.Since(start).Seconds()
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		return nil, err
	}
	if !at(b.plan.kill) {
		return nil, ctx.Err()
	}
	s.control.expected.Store(true)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return nil, err
	}
	since := time.Now()
	killed := Outage{What: "killed", From: since.Sub(start).Seconds()}
	<-s.control.ended // it ends with its API server, and etcd with it
	if !sleep(ctx, time.Until(since.Add(b.plan.killed))) {
		return nil, ctx.Err()
	}
	killed.Again = time.Since(start).Seconds()
	err = s.startControlPlane(ctx)
	killed.To = time.Since(start).Seconds()
	return []Outage{paused, killed}, err
}

func (s *stack) apiServerPid() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.controlDir(), "kube-apiserver.pid"))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("kube-apiserver.pid holds %q", text)
	}
	return pid, nil
}

// sleep waits, and tells whether it did so to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
