package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
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
	s := &storm{market: w.openMarket("storm", "770001"), sender: newSender(w.push), chaos: &chaos{
		world: w, weather: weather, random: rand.New(rand.NewPCG(seed, 2)), start: time.Now(), all: make(chan struct{})}}
	s.rage(rand.New(rand.NewPCG(seed, 3)), wanted)
	kills := w.died()
	s.settle()
	if bad := s.sender.complaints(); len(bad) > 0 {
		t.Errorf("%d replies that no good push may get: %q", len(bad), bad[:min(len(bad), 10)])
	}
	w.showsNothing()
	kept := w.everKept()
	t.Logf("%s; %d kills (%d starts failed), disk failed %d times, API server %v; kept in the journal %d (%d at once)",
		s, kills, w.unborn, s.chaos.diskFailed, weather.counts(), kept, s.chaos.mostKept)
	if missing := s.chaos.missing(kills); len(missing) > 0 || kept == 0 || s.chaos.mostKept == 0 {
		t.Errorf("these faults never happened: %v; the journal kept %d\n%s", missing, kept, w.log())
	}
}

// storm is a platform that pushes while things break.
type storm struct {
	market   *market
	sender   *sender
	chaos    *chaos
	messages []*message
	// How long it lasted, and then until the journal was empty, and until all was settled.
	raged, drained, settled time.Duration
}

// rage breaks things until so many deliveries were made.
func (s *storm) rage(random *rand.Rand, wanted int) {
	ctx, calm := context.WithCancel(s.market.Context())
	var background sync.WaitGroup
	background.Go(func() { s.chaos.watch(ctx) })
	background.Go(func() { s.chaos.run(ctx) })
	defer background.Wait()
	defer calm()
	s.messages = s.market.live(random, s.sender, wanted, s.chaos.all)
}

// settle waits, in fair weather, until all that was acknowledged is where it belongs.
func (s *storm) settle() {
	s.raged = time.Since(s.chaos.start)
	s.market.tellAgain(s.sender, s.messages)
	s.market.drained()
	s.drained = time.Since(s.chaos.start) - s.raged
	s.market.check(s.messages)
	// Many a product was looked at only once until now, when all had been told.
	for _, kinds := range [][]string{{"VACATION_RESOURCE_VALID_CHANGE"}, kindNames()} {
		s.messages = append(s.messages, s.market.changeAll(s.sender, kinds)...)
		s.market.drained()
		s.market.check(s.messages)
	}
	s.settled = time.Since(s.chaos.start) - s.raged - s.drained
}

func (s *storm) String() string {
	acknowledged := 0
	for _, message := range s.messages {
		if message.acknowledged.Load() {
			acknowledged++
		}
	}
	return fmt.Sprintf("in %s: %d messages (%d acknowledged), delivered %d times (%d to the end), sent %d times (%d asked for again, %d unanswered); drained after %s, settled after %s",
		s.raged.Round(time.Second), len(s.messages), acknowledged, s.sender.deliveries.Load(), s.sender.successes.Load(), s.sender.posts.Load(),
		s.sender.retries.Load(), s.sender.unanswered.Load(), s.drained.Round(time.Second), s.settled.Round(time.Second))
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
				messages = append(messages, m.happen(e))
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

// happen lets an event happen, and gives the message that tells it.
func (m *market) happen(e event) *message {
	m.Helper()
	message, err := e.play.happen()
	if err != nil {
		m.Fatal(err)
	}
	e.of.message = message
	if o, known := m.fake.Order(message.order); known {
		m.past[message.order] = append(m.past[message.order], truth(o))
	} else if p, known := m.offers()[message.product]; known {
		m.past[message.product] = append(m.past[message.product], offeredDays(p))
	}
	return message
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
// of an order, or of an aspect of a product, and gave up: nobody can know of them else.
func (m *market) tellAgain(s *sender, messages []*message) {
	m.Helper()
	last := map[string]*message{}
	for _, message := range messages {
		if message.order != "" {
			last[message.order] = message
		}
		for _, aspect := range kinds[message.kind] {
			last[message.product+" "+aspect] = message
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
	lost := slices.Concat(lostOrders(messages, orders.Items), lostChanges(messages, synced.Items))
	if len(lost) > 0 {
		m.Errorf("%d faults:\n%s", len(lost), strings.Join(lost[:min(len(lost), 20)], "\n"))
		return
	}
	m.eventually(func() error {
		for _, list := range []client.ObjectList{&orders, &synced} {
			if err := m.api.List(m.Context(), list, client.InNamespace(m.namespace)); err != nil {
				return err
			}
		}
		return m.unsettled(orders.Items, synced.Items)
	})
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
	objects, offers := map[string]int{}, m.offers()
	for _, ov := range orders {
		objects["order "+ov.Spec.OrderID]++
		late = append(late, m.unsettledOrder(&ov))
	}
	for _, product := range synced {
		objects["product "+product.Spec.ProductID]++
		late = append(late, unsettledProduct(&product, offers[product.Spec.ProductID]))
	}
	for what, n := range objects {
		if n > 1 {
			late = append(late, fmt.Errorf("%s has %d objects", what, n))
		}
	}
	late = slices.DeleteFunc(late, func(err error) bool { return err == nil })
	return errors.Join(late[:min(len(late), 5)]...)
}

func (m *market) unsettledOrder(ov *v1alpha1.OrderVoucher) error {
	known, _ := m.fake.Order(ov.Spec.OrderID)
	if want, got := truth(known), told(ov.Status); got != want {
		return fmt.Errorf("order %s: %s; on the platform: %s", ov.Spec.OrderID, got, want)
	}
	if err := ready(ov.Status.Conditions, ov.Generation, ov.Status.ObservedGeneration); err != nil {
		return fmt.Errorf("order %s: %w", ov.Spec.OrderID, err)
	}
	return nil
}

func unsettledProduct(product *v1alpha1.ProductSync, known platformtest.Product) error {
	if err := ready(product.Status.Conditions, product.Generation, product.Status.ObservedGeneration); err != nil {
		return fmt.Errorf("product %s: %w", product.Spec.ProductID, err)
	}
	for aspect, at := range observed(product.Status.Observed) {
		if change := announced(product.Spec.Announced)[aspect]; change != nil && (at == nil || !at.Equal(&change.ChangedAt)) {
			return fmt.Errorf("product %s: %s of %v is not observed: %v", product.Spec.ProductID, aspect, change.ChangedAt, at)
		}
	}
	if want, got := offered(known), synced(product.Status); got != want {
		return fmt.Errorf("product %s: %s; on the platform: %s", product.Spec.ProductID, got, want)
	}
	return nil
}
