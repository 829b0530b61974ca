package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// latencyConnections are enough for any rate here.
const latencyConnections = 128

// latencySection is section 4: pushes come evenly, at a quarter and at half of what a plain
// client writes with the status of each, and a watch tells when each shows.
func (b *bench) latencySection(ctx context.Context, s *stack) error {
	t, err := s.makeTemplates(ctx)
	if err != nil {
		return err
	}
	s.front.answerIn(platformDelay)
	plain, r := newRaw(s.api, t), newReceiver(s, b.plan)
	byName := map[string]*Latency{}
	var names []string
	for n := range b.rounds {
		b.say("round %d of %d", n+1, b.rounds)
		ceilings, err := plain.round(ctx, b.plan.raw, true, false)
		if err != nil {
			return err
		}
		if err := plain.clear(ctx); err != nil {
			return err
		}
		all, err := r.latencyRound(ctx, ceilings)
		if err != nil {
			return err
		}
		for _, one := range all {
			key := fmt.Sprint(one.name, one.share)
			if byName[key] == nil {
				names = append(names, key)
				byName[key] = &Latency{Name: one.name, Share: one.share, Ceiling: one.ceiling}
			}
			byName[key].add(one, ceilings[one.ceiling])
		}
	}
	for _, name := range names {
		b.results.Latency = append(b.results.Latency, *byName[name])
	}
	return nil
}

// lag is what one round at one rate gave.
type lag struct {
	name, ceiling string
	share         float64
	offered       float64
	tally         tally
	seen          []time.Duration
	late          int
}

func (r *receiver) latencyRound(ctx context.Context, ceilings map[string]float64) ([]lag, error) {
	if err := r.startController(ctx); err != nil {
		return nil, err
	}
	defer r.stopManager()
	if err := r.caughtUp(ctx); err != nil {
		return nil, err
	}
	var all []lag
	for _, share := range []float64{0.25, 0.5} {
		for _, load := range []workload{r.productsFirst(createProductsStatus), r.productsLater(patchProductsStatus)} {
			one := lag{name: load.name, ceiling: load.ceiling, share: share, offered: share * ceilings[load.ceiling]}
			if err := r.watched(ctx, load, &one); err != nil {
				return nil, fmt.Errorf("%s, at %v of the ceiling: %w", load.name, share, err)
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// watched pushes at one rate and watches what becomes of it.
func (r *receiver) watched(ctx context.Context, load workload, one *lag) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	w := newWatcher()
	opened, ended := make(chan error, 1), make(chan error, 1)
	go func() { ended <- w.watch(watching, r.api, opened) }()
	if err := <-opened; err != nil {
		return err
	}
	sender := newSender(r.push, latencyConnections)
	defer sender.close()
	told := newBook()
	one.tally = sender.open(ctx, openLoad{perSecond: one.offered, duration: r.plan.latency, next: load.next(), sent: w.expect}, told)
	if load.after != nil {
		load.after(one.tally.sent)
	}
	_ = until(ctx, settleTimeout, func(context.Context) error {
		if left := w.left(told); left > 0 {
			return fmt.Errorf("%d changes are not seen", left)
		}
		return nil
	})
	one.late = w.left(told)
	stop()
	if err := <-ended; err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		return err
	}
	one.seen = w.times
	return ctx.Err()
}

// add takes in one round.
func (l *Latency) add(one lag, ceiling float64) {
	times := quantilesOf(one.seen)
	l.CeilingPerSecond.add(ceiling)
	l.OfferedPerSecond.add(one.offered)
	l.P50.add(times.P50)
	l.P99.add(times.P99)
	l.Max.add(times.Max)
	l.Curve = times.Curve
	l.ReplyP99.add(quantilesOf(one.tally.replies).P99)
	l.Pushes += one.tally.sent
	l.Unanswered += one.tally.offered - one.tally.acknowledged
	l.Late += one.late
}

// watcher notes when changes that were pushed are seen observed, on Ready objects.
type watcher struct {
	mu      sync.Mutex
	pending map[string][]expected
	times   []time.Duration
}

// expected is a change of a product, and when it was due to be pushed.
type expected struct {
	changedAt int64
	due       time.Time
}

func newWatcher() *watcher { return &watcher{pending: map[string][]expected{}} }

// expect is told of a push before it is sent.
func (w *watcher) expect(p push, due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[p.product] = append(w.pending[p.product], expected{p.changedAt, due})
}

// see takes in a product as a watch shows it: what it observes is expected no more.
func (w *watcher) see(id string, state productState, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !state.ready {
		return
	}
	var left []expected
	for _, one := range w.pending[id] {
		if one.changedAt <= state.observed {
			w.times = append(w.times, now.Sub(one.due))
		} else {
			left = append(left, one)
		}
	}
	w.pending[id] = left
}

// left is how many changes that were acknowledged, or newer ones, are not seen yet.
func (w *watcher) left(b *book) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for id, pending := range w.pending {
		for _, one := range pending {
			if one.changedAt <= b.products[id] {
				n++
			}
		}
	}
	return n
}

// watch follows all products from now on, until the context ends. opened is told when it
// does, or why it cannot.
func (w *watcher) watch(ctx context.Context, a *api, opened chan<- error) error {
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := a.getInto(ctx, collection(products)+"?limit=1", &list); err != nil {
		opened <- err
		return err
	}
	for from := list.Metadata.ResourceVersion; ; {
		response, err := a.do(ctx, "GET", collection(products)+"?watch=1&resourceVersion="+from, "", nil)
		select {
		case opened <- err: // the first time
		default:
		}
		if err != nil {
			return err
		}
		from, err = w.follow(response.Body, from)
		_ = response.Body.Close()
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) { // the API server ends watches as it likes
			return err
		}
	}
}

// follow reads events until they end, and says up to which version.
func (w *watcher) follow(body io.Reader, from string) (to string, err error) {
	for events := json.NewDecoder(body); ; {
		var event struct {
			Type   string      `json:"type"`
			Object wireProduct `json:"object"`
		}
		if err := events.Decode(&event); err != nil {
			return from, err
		}
		if event.Type == "ERROR" {
			return from, errors.New("the watch broke off")
		}
		from = event.Object.Metadata.ResourceVersion
		w.see(event.Object.Spec.ProductID, event.Object.state(), time.Now())
	}
}
