package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/test/env"
)

const (
	// shortDeliveries is how many there are at least, unless FAULTS_DELIVERIES says so, at a
	// pace that the machine can take easily: it is the faults that make it hard.
	shortDeliveries, deliveriesPerSecond = 1400, 80
	// longest is how long the platform goes on at most.
	longest = 30 * time.Minute
)

// Whatever fails on the way, and however often, everything that was acknowledged stands
// once, nothing else does, and every status is what the platform's own books say.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	wanted, seed := number(t, "FAULTS_DELIVERIES", shortDeliveries), uint64(number(t, "FAULTS_SEED", int(time.Now().UnixNano()%1_000_000)))
	t.Logf("FAULTS_SEED=%d", seed)
	w, weather := newStormyWorld(t, seed)
	m := w.openMarket("storm", "770001")
	c := &chaos{world: w, weather: weather, random: rand.New(rand.NewPCG(seed, 2)), start: time.Now(), all: make(chan struct{})}
	s := newSender(w.push)

	var background sync.WaitGroup
	storm, calm := context.WithCancel(t.Context())
	watched, unwatch := context.WithCancel(t.Context())
	background.Go(func() { c.watch(watched) })
	over := make(chan struct{})
	go func() { defer close(over); c.run(storm) }()
	t.Cleanup(func() { calm(); unwatch(); <-over; background.Wait() })
	messages := m.live(rand.New(rand.NewPCG(seed, 3)), s, wanted, c.all)
	calm()
	<-over
	stormy := time.Since(c.start)
	m.tellAgain(s, messages)
	w.drained()
	drained := time.Since(c.start) - stormy
	unwatch()
	background.Wait()

	kills := w.died()
	m.check(messages)
	settled := time.Since(c.start) - stormy - drained
	if bad := s.complaints(); len(bad) > 0 {
		t.Errorf("%d replies that no good push may get: %q", len(bad), bad[:min(len(bad), 10)])
	}
	kept := w.everKept()
	acknowledged := 0
	for _, message := range messages {
		if message.acknowledged.Load() {
			acknowledged++
		}
	}
	t.Logf("in %s: %d messages (%d acknowledged), delivered %d times (%d to the end), sent %d times (%d asked for again, %d unanswered); "+
		"%d kills (%d starts failed), disk failed %d times, API server %v; kept in the journal %d (%d at once); drained after %s, settled after %s",
		stormy.Round(time.Second), len(messages), acknowledged, s.deliveries.Load(), s.successes.Load(), s.posts.Load(), s.retries.Load(), s.unanswered.Load(),
		kills, w.unborn, c.diskFailed, weather.counts(), kept, c.mostKept, drained.Round(time.Second), settled.Round(time.Second))
	if missing := c.missing(kills); len(missing) > 0 || kept == 0 || c.mostKept == 0 {
		t.Errorf("these faults never happened: %v; the journal kept %d", missing, kept)
	}
}

// number is a whole number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// newStormyWorld is a world with weather, and a manager with a journal that survives it.
func newStormyWorld(t *testing.T, seed uint64) (*world, *weather) {
	t.Helper()
	weather := newWeather(rand.New(rand.NewPCG(seed, 1)))
	// The directory goes last, when no manager uses it any more.
	w := &world{TB: t, gate: &gate{}, patient: true, journal: filepath.Join(t.TempDir(), "journal")}
	w.server = w.gate.serve(t, weather.before(apiServer(t, env.Config())))
	w.flags = []string{"--journal-dir", w.journal}
	w.begin()
	return w, weather
}

// live lets things happen and delivers what tells them: so many deliveries at least, and
// as long as until says.
func (m *market) live(random *rand.Rand, s *sender, wanted int, until <-chan struct{}) []*message {
	ctx, cancel := context.WithTimeout(m.Context(), longest)
	defer cancel()
	var messages []*message
	letters, pace := make(chan *message), rate.NewLimiter(deliveriesPerSecond, senders)
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for letter := range letters {
				s.deliver(m.Context(), letter)
			}
		})
	}
	defer sending.Wait()
	defer close(letters)
	for number, sent := 0, 0; sent < wanted || !isClosed(until); number++ {
		for _, e := range m.chapter(random, number) {
			if e.play != nil {
				message, err := e.play.happen()
				if err != nil {
					m.Fatal(err)
				}
				e.of.message = message
				messages = append(messages, message)
				continue
			}
			if err := pace.Wait(ctx); err != nil {
				m.Error(err)
				return messages
			}
			letters <- e.of.message
			sent++
		}
	}
	return messages
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tellAgain has those things delivered, now that nothing fails, that the platform told last
// of an order and gave up: nobody can know of them else.
func (m *market) tellAgain(s *sender, messages []*message) {
	m.Helper()
	last := map[string]*message{}
	for _, message := range messages {
		if message.order != "" {
			last[message.order] = message
		}
	}
	for _, message := range last {
		for !message.acknowledged.Load() && m.Context().Err() == nil {
			s.deliver(m.Context(), message)
		}
	}
}

// drained waits until the journal is empty.
func (w *world) drained() {
	w.Helper()
	w.eventually(func() error {
		kept, err := w.gauge("channel_operator_journal_records")
		if err == nil && kept > 0 {
			err = fmt.Errorf("the journal still has %v records", kept)
		}
		return err
	})
}

// everKept stops the manager and looks into its journal, which must be empty: how many
// records there ever were.
func (w *world) everKept() int {
	w.Helper()
	w.stop()
	kept, err := journal.Open(journal.Options{Dir: w.journal})
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	if stats := kept.Stats(); stats.Records > 0 || stats.Asides > 0 {
		w.Errorf("in the journal are still %d records, and %d set aside: %+v", stats.Records, stats.Asides, kept.Asides())
	}
	if err := kept.Put(w.Context(), "last", nil); err != nil {
		w.Fatal(err)
	}
	last, err := kept.Of("last", 1)
	if err != nil || len(last) != 1 {
		w.Fatalf("%v, %v", last, err)
	}
	return int(last[0].Seq) - 1
}

// check compares all objects with what was sent and acknowledged.
func (m *market) check(messages []*message) {
	m.Helper()
	var orders v1alpha1.OrderVoucherList
	var synced v1alpha1.ProductSyncList
	for _, list := range []client.ObjectList{&orders, &synced} {
		if err := m.api.List(m.Context(), list, client.InNamespace(m.namespace)); err != nil {
			m.Fatal(err)
		}
	}
	m.report(lostOrders(messages, orders.Items), lostChanges(messages, synced.Items))
	m.eventually(func() error {
		for _, list := range []client.ObjectList{&orders, &synced} {
			if err := m.api.List(m.Context(), list, client.InNamespace(m.namespace)); err != nil {
				return err
			}
		}
		return m.unsettled(orders.Items, synced.Items)
	})
}

// report tells the first of many faults.
func (m *market) report(faults ...[]string) {
	m.Helper()
	for _, found := range faults {
		if len(found) > 0 {
			m.Errorf("%d faults:\n%s", len(found), strings.Join(found[:min(len(found), 20)], "\n"))
		}
	}
}

// lostOrders compares the notifications that stand with what was sent: everything that was
// acknowledged once, and nothing that was not sent of that order.
func lostOrders(messages []*message, orders []v1alpha1.OrderVoucher) []string {
	var faults []string
	stands := map[string]int{}
	for _, ov := range orders {
		for _, n := range ov.Spec.Notifications {
			stands[ov.Spec.OrderID+" "+n.ID+" "+n.PlatformType]++
		}
	}
	for _, message := range messages {
		if message.order == "" {
			continue
		}
		key := message.order + " " + message.id + " " + message.kind
		n := stands[key]
		if n > 1 || n == 0 && message.acknowledged.Load() {
			faults = append(faults, fmt.Sprintf("%s: acknowledged %v, stands %d times", key, message.acknowledged.Load(), n))
		}
		delete(stands, key)
	}
	for key := range stands {
		faults = append(faults, key+" stands and was never sent")
	}
	return faults
}

// lostChanges compares what is announced with what was sent: of each aspect a change that was
// sent, and no older than the newest that was acknowledged.
func lostChanges(messages []*message, synced []v1alpha1.ProductSync) []string {
	var faults []string
	sent, newest := map[string]bool{}, map[string]time.Time{}
	for _, message := range messages {
		if message.product == "" {
			continue
		}
		for _, aspect := range kinds[message.kind] {
			key := message.product + " " + aspect
			sent[fmt.Sprint(key, message.changedAt.UnixMicro(), message.id, message.kind)] = true
			if message.acknowledged.Load() && message.changedAt.After(newest[key]) {
				newest[key] = message.changedAt
			}
		}
	}
	for _, product := range synced {
		for aspect, change := range announced(product.Spec.Announced) {
			key := product.Spec.ProductID + " " + aspect
			if change == nil {
				continue
			}
			if !sent[fmt.Sprint(key, change.ChangedAt.UnixMicro(), change.MessageID, change.Type)] {
				faults = append(faults, fmt.Sprintf("%s: %+v was never sent", key, *change))
			}
			if !change.ChangedAt.Time.Before(newest[key]) {
				delete(newest, key)
			}
		}
	}
	for key, at := range newest {
		faults = append(faults, fmt.Sprintf("%s: the change of %s was acknowledged, and an older one or none stands", key, at))
	}
	return faults
}

func announced(a v1alpha1.Announced) map[string]*v1alpha1.Announcement {
	return map[string]*v1alpha1.Announcement{"info": a.Info, "price": a.Price, "stock": a.Stock, "availability": a.Availability}
}

func observed(o v1alpha1.Observed) map[string]*metav1.MicroTime {
	return map[string]*metav1.MicroTime{"info": o.Info, "price": o.Price, "stock": o.Stock, "availability": o.Availability}
}

// unsettled is what does not say yet what the platform's books say.
func (m *market) unsettled(orders []v1alpha1.OrderVoucher, synced []v1alpha1.ProductSync) error {
	var late []error
	seen := map[string]bool{}
	for _, ov := range orders {
		if seen[ov.Spec.OrderID] {
			late = append(late, fmt.Errorf("order %s has two objects", ov.Spec.OrderID))
		}
		seen[ov.Spec.OrderID] = true
		known, _ := m.fake.Order(ov.Spec.OrderID)
		if want, got := truth(known), told(ov.Status); got != want {
			late = append(late, fmt.Errorf("order %s: %s; on the platform: %s", ov.Spec.OrderID, got, want))
		}
		if err := ready(ov.Status.Conditions, ov.Generation, ov.Status.ObservedGeneration); err != nil {
			late = append(late, fmt.Errorf("order %s: %w", ov.Spec.OrderID, err))
		}
	}
	for _, product := range synced {
		if seen[product.Spec.ProductID] {
			late = append(late, fmt.Errorf("product %s has two objects", product.Spec.ProductID))
		}
		seen[product.Spec.ProductID] = true
		if err := ready(product.Status.Conditions, product.Generation, product.Status.ObservedGeneration); err != nil {
			late = append(late, fmt.Errorf("product %s: %w", product.Spec.ProductID, err))
		}
		for aspect, at := range observed(product.Status.Observed) {
			if change := announced(product.Spec.Announced)[aspect]; change != nil && (at == nil || !at.Equal(&change.ChangedAt)) {
				late = append(late, fmt.Errorf("product %s: %s of %v is not observed: %v", product.Spec.ProductID, aspect, change.ChangedAt, at))
			}
		}
	}
	return errors.Join(late[:min(len(late), 5)]...)
}
