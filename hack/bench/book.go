package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// book is what was acknowledged: of each product the newest change, of each order every
// message.
type book struct {
	mu       sync.Mutex
	products map[string]int64
	orders   map[string][]string
	changes  int
}

func newBook() *book {
	return &book{products: map[string]int64{}, orders: map[string][]string{}}
}

func (b *book) note(p push) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.product != "" {
		b.changes++
		b.products[p.product] = max(b.products[p.product], p.changedAt)
		return
	}
	b.orders[p.order] = append(b.orders[p.order], p.message)
}

// standing is what the API server holds.
type standing struct {
	products map[string]productState
	orders   map[string]orderState
}

// productState is what a product's object says, times in ms.
type productState struct {
	announced, observed int64
	ready               bool
}

type orderState struct {
	messages map[string]int
	ready    bool
}

// readyStatus is what all our statuses have.
type readyStatus struct {
	Conditions []struct {
		Type   string `json:"type"`
		Status string `json:"status"`
	} `json:"conditions"`
	ObservedGeneration int64 `json:"observedGeneration"`
}

func (s *readyStatus) ready(generation int64) bool {
	for _, c := range s.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True" && s.ObservedGeneration == generation
		}
	}
	return false
}

// wireProduct is as much of a ProductSync as is looked at.
type wireProduct struct {
	Metadata struct {
		Name            string `json:"name"`
		Generation      int64  `json:"generation"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		ProductID string `json:"productID"`
		Announced struct {
			Price struct {
				ChangedAt time.Time `json:"changedAt"`
			} `json:"price"`
		} `json:"announced"`
	} `json:"spec"`
	Status struct {
		readyStatus
		Observed struct {
			Price time.Time `json:"price"`
		} `json:"observed"`
	} `json:"status"`
}

func (p *wireProduct) state() productState {
	return productState{announced: unixMillis(p.Spec.Announced.Price.ChangedAt), observed: unixMillis(p.Status.Observed.Price),
		ready: p.Status.ready(p.Metadata.Generation)}
}

func unixMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

type wireOrder struct {
	Metadata struct {
		Generation int64 `json:"generation"`
	} `json:"metadata"`
	Spec struct {
		OrderID       string `json:"orderID"`
		Notifications []struct {
			ID string `json:"id"`
		} `json:"notifications"`
	} `json:"spec"`
	Status readyStatus `json:"status"`
}

// look lists everything.
func (a *api) look(ctx context.Context) (standing, error) {
	s := standing{products: map[string]productState{}, orders: map[string]orderState{}}
	if err := each(ctx, a, products, func(p *wireProduct) { s.products[p.Spec.ProductID] = p.state() }); err != nil {
		return s, err
	}
	return s, each(ctx, a, orders, func(o *wireOrder) {
		state := orderState{messages: map[string]int{}, ready: o.Status.ready(o.Metadata.Generation)}
		for _, n := range o.Spec.Notifications {
			state.messages[n.ID]++
		}
		s.orders[o.Spec.OrderID] = state
	})
}

// verify counts what was acknowledged and does not stand: changes of which there is neither
// itself nor a newer one, and messages that are not there exactly once. Unsettled are
// objects whose status does not speak of all that was acknowledged.
func (b *book) verify(s standing) (lost, unsettled int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, at := range b.products {
		state := s.products[id]
		if state.announced < at {
			lost++
		}
		if !state.ready || state.observed < at {
			unsettled++
		}
	}
	for id, messages := range b.orders {
		state := s.orders[id]
		for _, message := range messages {
			if state.messages[message] != 1 {
				lost++
			}
		}
		if !state.ready {
			unsettled++
		}
	}
	return lost, unsettled
}

// told is how much was acknowledged.
func (b *book) told() Told {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := Told{Changes: b.changes, Newest: len(b.products)}
	for _, messages := range b.orders {
		t.Messages += len(messages)
	}
	return t
}

// objects is how many it is about.
func (b *book) objects() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.products) + len(b.orders)
}

// drained waits until the journal is empty, and says how long
// that took. What was set aside will never be written: that is counted.
func (s *stack) drained(ctx context.Context, most time.Duration) (took time.Duration, aside int, err error) {
	start := time.Now()
	err = until(ctx, most, func(ctx context.Context) error {
		all, err := s.ofManager(ctx)
		if err != nil {
			return err
		}
		records, _ := all.sum("channel_operator_journal_records")
		setAside, _ := all.sum("channel_operator_journal_set_aside")
		aside = int(setAside)
		if records > 0 {
			return fmt.Errorf("the journal still has %v records", records)
		}
		return nil
	})
	return time.Since(start), aside, err
}

// caughtUp waits until controllers that have just been started have looked at all there is,
// and have nothing more to do. Before their caches are filled they have nothing to do either.
func (s *stack) caughtUp(ctx context.Context) error {
	return until(ctx, settleTimeout, func(ctx context.Context) error {
		for kind, controller := range map[string]string{products: "productsync", orders: "ordervoucher"} {
			there, err := s.api.count(ctx, kind)
			if err != nil {
				return err
			}
			if there == 0 {
				continue
			}
			looks, err := s.gauge(ctx, "controller_runtime_reconcile_total", fmt.Sprintf("controller=%q", controller))
			if err == nil && int(looks) < there {
				err = fmt.Errorf("%v of %d %s were looked at", looks, there, kind)
			}
			if err != nil {
				return err
			}
		}
		return s.idle(ctx, settleTimeout)
	})
}

// idle waits until the controllers have nothing to do.
func (s *stack) idle(ctx context.Context, most time.Duration) error {
	return until(ctx, most, func(ctx context.Context) error {
		all, err := s.ofManager(ctx)
		if err != nil {
			return err
		}
		depth, _ := all.sum("workqueue_depth")
		active, _ := all.sum("controller_runtime_active_workers")
		if depth+active > 0 {
			return fmt.Errorf("%v objects wait for a look, at %v somebody looks", depth, active)
		}
		return nil
	})
}
