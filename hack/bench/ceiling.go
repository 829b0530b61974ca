package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// rawWorkers is how many writes the plain client has under way.
const rawWorkers = 64

// Names of the ceilings.
const (
	createProducts       = "create products"
	patchProducts        = "merge-patch products"
	createOrders         = "create orders"
	appendOrders         = "append to orders"
	patchOne             = "merge-patch one product"
	createProductsStatus = "create products, with status"
	patchProductsStatus  = "merge-patch products, with status"
	createOrdersStatus   = "create orders, with status"
	appendOrdersStatus   = "append to orders, with status"
)

// raw is the plain client: it writes what the ledger and the controllers write, and
// nothing else. It is used while no manager runs.
type raw struct {
	api   *api
	t     *templates
	clock *clock
	// Objects made so far: ids are never used twice. cleared of them are gone again.
	products, orders               int
	clearedProducts, clearedOrders int
	ceilings                       map[string]*Ceiling
	names                          []string
}

func newRaw(a *api, t *templates) *raw {
	return &raw{api: a, t: t, clock: newClock(), ceilings: map[string]*Ceiling{}}
}

// measure does one thing again and again with 64 workers, and adds a round to its ceiling.
// done is how often it was done.
func (r *raw) measure(ctx context.Context, name string, duration time.Duration, do func(ctx context.Context, n int) error) (done int, perSecond float64, err error) {
	start := time.Now()
	var taken, refused atomic.Int64
	var working sync.WaitGroup
	var mu sync.Mutex
	var times []time.Duration
	for range rawWorkers {
		working.Go(func() {
			for ctx.Err() == nil && time.Since(start) < duration {
				from := time.Now()
				failure := do(ctx, int(taken.Add(1))-1)
				mu.Lock()
				switch {
				case failure == nil:
					times = append(times, time.Since(from))
				case isRefusal(failure):
					refused.Add(1)
				case err == nil && ctx.Err() == nil:
					err = fmt.Errorf("%s: %w", name, failure)
				}
				mu.Unlock()
			}
		})
	}
	working.Wait()
	elapsed := time.Since(start).Seconds()
	if err == nil {
		err = ctx.Err()
	}
	if len(times) == 0 && err == nil {
		err = fmt.Errorf("%s: none was done", name)
	}
	perSecond = float64(len(times)) / elapsed
	r.note(name, perSecond, quantilesOf(times), int(refused.Load()))
	return int(taken.Load()), perSecond, err
}

// isRefusal: the API server is well and does not take this.
func isRefusal(err error) bool {
	status, ok := errors.AsType[*statusError](err)
	return ok && (status.code == http.StatusConflict || status.code == http.StatusUnprocessableEntity)
}

func (r *raw) note(name string, perSecond float64, times Quantiles, refused int) {
	c, known := r.ceilings[name]
	if !known {
		c = &Ceiling{Name: name}
		r.ceilings[name] = c
		r.names = append(r.names, name)
	}
	c.PerSecond.add(perSecond)
	c.P50.add(times.P50)
	c.P99.add(times.P99)
	c.Refused += refused
}

// all are the ceilings measured, in the order of their first round.
func (r *raw) all() []Ceiling {
	var all []Ceiling
	for _, name := range r.names {
		all = append(all, *r.ceilings[name])
	}
	return all
}

// creating makes new objects of one kind.
func (r *raw) creating(kind string, from int, with bool) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		id, body := rawProductID(from+n), []byte(nil)
		if kind == orders {
			id = rawOrderID(from + n)
			body = r.t.orderBody(id)
		} else {
			body = r.t.productBody(id)
		}
		if err := r.api.send(ctx, http.MethodPost, collection(kind), asJSON, body); err != nil || !with {
			return err
		}
		if kind == orders {
			return r.applyStatus(ctx, kind, id, r.t.orderStatusBody(id, 1))
		}
		return r.applyStatus(ctx, kind, id, r.t.productStatusBody(id, 1, 0))
	}
}

func (r *raw) applyStatus(ctx context.Context, kind, id string, body []byte) error {
	return r.api.send(ctx, http.MethodPatch, collection(kind, objectName(id), "status")+"?fieldManager=channel-operator&force=true", asApply, body)
}

// patching announces changes of products, one after the other, round and round.
func (r *raw) patching(from, pool int, with bool) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		id, at := rawProductID(from+n%pool), r.clock.tick()
		if err := r.api.send(ctx, http.MethodPatch, collection(products, objectName(id)), asMerge, r.t.changeBody(id, at)); err != nil || !with {
			return err
		}
		return r.applyStatus(ctx, products, id, r.t.productStatusBody(id, int64(2+n/pool), at))
	}
}

// appending tells more of orders, one after the other, round and round.
func (r *raw) appending(from, pool int, with bool) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		id := rawOrderID(from + n%pool)
		if err := r.api.send(ctx, http.MethodPatch, collection(orders, objectName(id)), asPatch, r.t.appendBody(id, 1+n/pool)); err != nil || !with {
			return err
		}
		return r.applyStatus(ctx, orders, id, r.t.orderStatusBody(id, int64(2+n/pool)))
	}
}

// round measures creates and, on what they made, patches: of products, and of orders if
// they are wanted. It gives what was done per second, by name.
func (r *raw) round(ctx context.Context, duration time.Duration, status, withOrders bool) (map[string]float64, error) {
	names := []string{createProducts, patchProducts, createOrders, appendOrders}
	if status {
		names = []string{createProductsStatus, patchProductsStatus, createOrdersStatus, appendOrdersStatus}
	}
	if err := r.warmUp(ctx, duration); err != nil {
		return nil, err
	}
	rates := map[string]float64{}
	made, rate, err := r.measure(ctx, names[0], duration, r.creating(products, r.products, status))
	if err != nil {
		return nil, err
	}
	rates[names[0]] = rate
	if made, err = r.atLeast(ctx, made, func(n int) error { return r.creating(products, r.products, status)(ctx, n) }); err != nil {
		return nil, err
	}
	_, rates[names[1]], err = r.measure(ctx, names[1], duration, r.patching(r.products, made, status))
	r.products += made
	if err != nil || !withOrders {
		return rates, err
	}
	made, rate, err = r.measure(ctx, names[2], duration, r.creating(orders, r.orders, status))
	if err != nil {
		return nil, err
	}
	rates[names[2]] = rate
	if made, err = r.atLeast(ctx, made, func(n int) error { return r.creating(orders, r.orders, status)(ctx, n) }); err != nil {
		return nil, err
	}
	_, rates[names[3]], err = r.measure(ctx, names[3], duration, r.appending(r.orders, made, status))
	r.orders += made
	return rates, err
}

// warmUp makes products for a time, and counts nothing.
func (r *raw) warmUp(ctx context.Context, duration time.Duration) error {
	aside := newRaw(r.api, r.t)
	made, _, err := aside.measure(ctx, createProducts, duration, r.creating(products, r.products, false))
	r.products += made
	return err
}

// clear deletes what it made: a manager with controllers would have to settle all of it first.
func (r *raw) clear(ctx context.Context) error {
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(rawWorkers)
	remove := func(kind, id string) {
		group.Go(func() error { return r.api.remove(together, collection(kind, objectName(id))) })
	}
	for ; r.clearedProducts < r.products; r.clearedProducts++ {
		remove(products, rawProductID(r.clearedProducts))
	}
	for ; r.clearedOrders < r.orders; r.clearedOrders++ {
		remove(orders, rawOrderID(r.clearedOrders))
	}
	return group.Wait()
}

// fewestDistinct is how many objects there must be at least, so that no two of the workers
// ever write the same one at a time.
const fewestDistinct = 4 * rawWorkers

// atLeast makes as many objects as are missing, unmeasured.
func (r *raw) atLeast(ctx context.Context, made int, create func(n int) error) (int, error) {
	group, _ := errgroup.WithContext(ctx)
	group.SetLimit(rawWorkers)
	for n := made; n < fewestDistinct; n++ {
		group.Go(func() error { return create(n) })
	}
	return max(made, fewestDistinct), group.Wait()
}

// one has all workers patch the same product.
func (r *raw) one(ctx context.Context, duration time.Duration) error {
	if err := r.creating(products, r.products, false)(ctx, 0); err != nil {
		return err
	}
	_, _, err := r.measure(ctx, patchOne, duration, r.patching(r.products, 1, false))
	r.products++
	return err
}
