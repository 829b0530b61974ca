package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/unproven"
)

// claim has a push recorded that nothing proves.
func (b *book) claim(event platform.Event) (platform.Outcome, error) {
	claimed := push("x")
	claimed.Unproven = true
	return b.Record(b.Context(), b.account, claimed, []platform.Event{event})
}

// marked are the names of the objects with the mark, and how many there are without.
func (b *book) marked() (marked, plain int) {
	b.Helper()
	var orders v1alpha1.OrderVoucherList
	var products v1alpha1.ProductSyncList
	for _, list := range []client.ObjectList{&orders, &products} {
		if err := b.api.List(b.Context(), list, client.InNamespace(b.account.Namespace)); err != nil {
			b.Fatal(err)
		}
	}
	count := func(o client.Object) {
		if unproven.Marked(o) {
			marked++
		} else {
			plain++
		}
	}
	for i := range orders.Items {
		count(&orders.Items[i])
	}
	for i := range products.Items {
		count(&products.Items[i])
	}
	return marked, plain
}

// Before the caches are filled a replica lets in no more new names than the bound, whatever
// they are; what is proven passes, and what it makes, or what discovery does, is not marked.
func TestUnprovenPushesAreBoundedAndMarked(t *testing.T) {
	b := open(t, "fliggy")
	b.account.MaxUnknown = 4
	for i := range 2 {
		for _, event := range []platform.Event{told(fmt.Sprint(i), "m-1"), change(fmt.Sprint(i), noon, "m-1", platform.AspectPrice)} {
			if outcome, err := b.claim(event); err != nil || outcome != platform.OutcomeRecorded {
				t.Fatalf("%d: %s, %v", i, outcome, err)
			}
		}
	}
	for _, event := range []platform.Event{told("2", "m-1"), change("2", noon, "m-1", platform.AspectPrice)} {
		if outcome, err := b.claim(event); !errors.Is(err, ledger.ErrUnknown) || outcome != platform.OutcomeRetry {
			t.Errorf("beyond the bound: %s, %v", outcome, err)
		}
	}
	if outcome, err := b.claim(told("1", "m-2")); err != nil || outcome != platform.OutcomeRecorded {
		t.Errorf("about an object that was let in: %s, %v", outcome, err)
	}
	b.record(push("x"), told("3", "m-1"), change("3", noon, "m-1", platform.AspectPrice))
	if _, err := b.EnsureProduct(t.Context(), b.account, "4"); err != nil {
		t.Fatal(err)
	}
	if marked, plain := b.marked(); marked != 4 || plain != 3 {
		t.Errorf("%d objects are marked and %d are not, want 4 and 3", marked, plain)
	}
}

// An unproven push of the greatest size that is received is refused, is counted, and writes
// nothing; one that is proven is recorded.
func TestLargeUnprovenPushesAreRefused(t *testing.T) {
	b := open(t, "fliggy")
	b.account.MaxUnknown = 10
	for _, test := range []struct {
		size     int
		unproven bool
		want     error
	}{{250 << 10, true, ledger.ErrLarge}, {20 << 10, true, nil}, {250 << 10, false, nil}} {
		large := push(strings.Repeat("x", test.size))
		large.Unproven = test.unproven
		id := fmt.Sprint(test.size, "-", test.unproven)
		outcome, err := b.Record(t.Context(), b.account, large, []platform.Event{told(id, "m-1")})
		if !errors.Is(err, test.want) || (outcome == platform.OutcomeRecorded) != (test.want == nil) || err != nil && outcome != platform.OutcomeRetry {
			t.Errorf("%d bytes, unproven %v: %s, %v", test.size, test.unproven, outcome, err)
		}
	}
	if marked, plain := b.marked(); marked != 1 || plain != 1 {
		t.Errorf("%d objects are marked and %d are not, want 1 and 1", marked, plain)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(b.Collectors()...)
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	refused := 0.0
	for _, family := range families {
		if family.GetName() == "channel_operator_unproven_refused_total" {
			refused = family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if refused != 1 {
		t.Errorf("%v are counted as refused, want 1", refused)
	}
}

// Pushes to one id, of notices and of orders, come to an end long before they have filled etcd, as the
// cache shows what they are written on; proven ones go on.
func TestUnprovenPushesWriteOnlySoMuch(t *testing.T) {
	b := open(t, "fliggy")
	b.account.MaxUnknown = 1000
	b.Ledger = ledger.New((&switched{}).client(t), b.api, nil)
	at := time.Now()
	b.SetNow(func() time.Time { return at }) // however slow the machine is
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = b.Start(ctx) })
	defer func() { cancel(); running.Wait() }()
	b.sees()
	large := push(strings.Repeat("x", 20<<10))
	record := func(unproven bool, i int) (platform.Outcome, error) {
		large.Unproven = unproven
		return b.Record(t.Context(), b.account, large, []platform.Event{told("1", fmt.Sprint("m-", i))})
	}
	taken := 0
	for ; ; taken++ {
		outcome, err := record(true, taken)
		if errors.Is(err, ledger.ErrOften) && outcome == platform.OutcomeRetry {
			break
		}
		if err != nil || taken*20<<10 > ledger.UnprovenBurst {
			t.Fatalf("push %d: %s, %v", taken, outcome, err)
		}
	}
	if taken < 5 || taken > 40 {
		t.Errorf("%d were taken: what is there is not counted with what comes", taken)
	}
	if outcome, err := record(false, taken); err != nil || outcome != platform.OutcomeRecorded {
		t.Errorf("proven: %s, %v", outcome, err)
	}
}

// What came to nothing takes no room.
func TestFailedPushesGiveTheirRoomBack(t *testing.T) {
	b := open(t, "fliggy")
	b.account.MaxUnknown = 1
	there := b.account.Namespace
	b.account.Namespace = "not-there"
	for _, id := range []string{"1", "2"} {
		if outcome, err := b.claim(told(id, "m-1")); err == nil || errors.Is(err, ledger.ErrUnknown) || outcome != platform.OutcomeRetry {
			t.Fatalf("order %s, where no namespace is: %s, %v", id, outcome, err)
		}
	}
	b.account.Namespace = there
	if _, err := b.claim(told("3", "m-1")); err != nil {
		t.Error(err)
	}
	if _, err := b.claim(told("4", "m-1")); !errors.Is(err, ledger.ErrUnknown) {
		t.Errorf("the bound does not hold: %v", err)
	}
}

// What the journal acknowledged is bounded as well, and always written, with its mark: also by
// the next process, and whatever the bound is then.
func TestAcknowledgedUnprovenPushesAreAlwaysWritten(t *testing.T) {
	k := keep(t, "fliggy")
	k.account.MaxUnknown = 3
	k.server.away.Store(true)
	for i := range 3 {
		if outcome, err := k.claim(told(fmt.Sprint(i), "m-1")); err != nil || outcome != platform.OutcomeRecorded {
			t.Fatalf("%d: %s, %v", i, outcome, err)
		}
	}
	if outcome, err := k.claim(told("3", "m-1")); !errors.Is(err, ledger.ErrUnknown) || outcome != platform.OutcomeRetry {
		t.Errorf("beyond the bound: %s, %v", outcome, err)
	}
	k.record(push("x"), told("4", "m-1"))
	k.stop()
	k.account.MaxUnknown = 0
	k.server.away.Store(false)
	k.start(t)
	k.empties()
	if marked, plain := k.marked(); marked != 3 || plain != 1 {
		t.Errorf("%d objects are marked and %d are not, want 3 and 1", marked, plain)
	}
}

// The first proven push takes the mark off, in whatever company it is written.
func TestProvenPushTakesTheMarkOff(t *testing.T) {
	k := keep(t, "fliggy")
	k.account.MaxUnknown = 10
	k.sees()
	for _, event := range []platform.Event{told("1", "m-1"), told("2", "m-1"), change("1", noon, "m-1", platform.AspectPrice)} {
		if _, err := k.claim(event); err != nil {
			t.Fatal(err)
		}
	}
	k.record(push("x"), told("1", "m-2"), change("1", noon.Add(time.Second), "m-2", platform.AspectPrice))
	k.empties() // a slow machine may have kept it
	if marked, plain := k.marked(); marked != 1 || plain != 2 {
		t.Errorf("%d objects are marked and %d are not, want 1 and 2", marked, plain)
	}
	if n := len(k.order("fliggy-1").Spec.Notifications); n != 2 {
		t.Errorf("%d notifications", n)
	}
	if _, err := k.claim(told("1", "m-3")); err != nil {
		t.Fatal(err)
	}
	k.empties()
	if marked, _ := k.marked(); marked != 1 {
		t.Error("an unproven push put it back on")
	}
}

// What was let in before the caches were filled takes no room any more when they show it.
func TestWhatTheCacheShowsIsNotComing(t *testing.T) {
	b := open(t, "fliggy")
	b.account.MaxUnknown = 1
	if _, err := b.claim(told("1", "m-1")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.claim(told("2", "m-1")); !errors.Is(err, ledger.ErrUnknown) {
		t.Fatalf("the bound does not hold: %v", err)
	}
	b.LookOften("replica", 10*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); _ = b.Start(ctx) }()
	defer func() { cancel(); <-over }()
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := b.claim(told("2", "m-1"))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// What the cache never shows, since it was removed again while a watch was broken, takes no room
// for ever; what waits in the journal does as long as it waits.
func TestWhatTheCacheMissedTakesNoRoomForEver(t *testing.T) {
	full := func(claim func(platform.Event) (platform.Outcome, error)) bool {
		_, err := claim(told("2", "m-1"))
		return errors.Is(err, ledger.ErrUnknown)
	}
	var passed atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	b := open(t, "fliggy")
	b.account.MaxUnknown = 1
	b.seeing(t, nowhere{b.api})
	b.SetNow(now)
	if _, err := b.claim(told("1", "m-1")); err != nil {
		t.Fatal(err)
	}
	if b.SettleComing(t.Context()); !full(b.claim) {
		t.Error("what may still come takes no room")
	}
	passed.Store(int64(ledger.ComingFor + time.Second))
	if b.SettleComing(t.Context()); full(b.claim) {
		t.Error("what does not come takes room for ever")
	}

	passed.Store(0)
	k := keep(t, "fliggy")
	k.stop()
	k.cache = nowhere{k.api}
	k.start(t)
	k.sees()
	k.SetNow(now)
	k.account.MaxUnknown = 1
	k.server.away.Store(true)
	if _, err := k.claim(told("1", "m-1")); err != nil {
		t.Fatal(err)
	}
	passed.Store(int64(ledger.ComingFor + time.Second))
	if k.SettleComing(t.Context()); !full(k.claim) {
		t.Error("what waits in the journal takes no room")
	}
	k.server.away.Store(false)
	k.empties()
	if k.SettleComing(t.Context()); !full(k.claim) {
		t.Error("what has just left the journal takes no room")
	}
}

// What was acknowledged about an object that is deleted while it waits in the journal is written
// all the same, on a new one; and whoever deletes what nobody knows can see that it waits, or was
// set aside.
func TestWhatIsKeptOfAnObjectOutlivesIt(t *testing.T) {
	k := keep(t, "fliggy")
	k.account.MaxUnknown = 10
	change := func(id string) platform.Event {
		return change("1", noon.Add(time.Second), id, platform.AspectPrice)
	}
	for _, event := range []platform.Event{told("1", "m-1"), change("m-1")} {
		if _, err := k.claim(event); err != nil {
			t.Fatal(err)
		}
	}
	k.empties()
	objects := []client.Object{k.order("fliggy-1"), k.product("fliggy-1")}
	keeps := func(want bool) {
		t.Helper()
		for _, object := range objects {
			if k.Keeps(object) != want {
				t.Errorf("it keeps something of %T: %v", object, !want)
			}
		}
	}
	keeps(false)
	k.server.away.Store(true)
	refused, strange := told("1", "m-3"), change("m-3")
	refused.Order.Kind, strange.Product.MessageID = "NoSuchKind", strings.Repeat("x", 1000)
	for _, event := range []platform.Event{told("1", "m-2"), change("m-2"), refused, strange} {
		if _, err := k.claim(event); err != nil {
			t.Fatal(err)
		}
	}
	keeps(true)
	for _, object := range objects {
		if err := k.api.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	k.server.away.Store(false)
	k.empties()
	if n := k.order("fliggy-1").Spec.Notifications; len(n) != 1 || n[0].ID != "m-2" {
		t.Errorf("notifications %+v", n)
	}
	if price := k.product("fliggy-1").Spec.Announced.Price; price == nil || price.MessageID != "m-2" {
		t.Errorf("announced %+v", price)
	}
	keeps(true) // of each, one is set aside
	if n := k.journal.Stats().Asides; n != 2 {
		t.Errorf("%d are set aside, want 2", n)
	}
}
