package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/unproven"
)

// shownOrder is an order as the cache shows it.
func shownOrder(id string, marked, confirmed, notFound bool) *v1alpha1.OrderVoucher {
	ov := &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: "travel", Name: "a-" + id},
		Spec: v1alpha1.OrderVoucherSpec{ChannelRef: v1alpha1.ChannelReference{Name: "a"}, OrderID: id}}
	if marked {
		ov.Labels = map[string]string{v1alpha1.LabelUnproven: unproven.Label(ov.CreationTimestamp.Time)}
	}
	if confirmed {
		ov.Status.Confirmed = &v1alpha1.OrderConfirmation{}
	}
	if notFound {
		ov.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotFound}}
	}
	return ov
}

// Whatever comes, changes and goes, what is counted is what is there, marked and not confirmed;
// and what is let in never goes beyond the bound.
func TestUnknownObjectsAreCountedAsTheyComeAndGo(t *testing.T) {
	const most = 4
	rapid.Check(t, func(t *rapid.T) {
		u, there := newUnknown(), map[string]*v1alpha1.OrderVoucher{}
		coming := map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "id"))
			o := object{Kind: kindOrder, Namespace: "travel", Channel: "a", Platform: v1alpha1.PlatformFliggy, ID: id}
			before := there[id]
			switch rapid.SampledFrom([]string{"enter", "leave", "show", "delete", "lose"}).Draw(t, "step") {
			case "enter":
				shown, _ := u.count(o.channel())
				room := coming[id] || shown+len(coming) < most
				if before == nil && (u.enter(fact{Object: o}, nil, most, time.Now()) == nil) != room {
					t.Fatalf("%s is let in: %v, with %d shown and %d coming", id, !room, shown, len(coming))
				} else if before == nil && room {
					coming[id] = true
				}
			case "leave":
				u.leave(o)
				delete(coming, id)
			case "show":
				after := shownOrder(id, rapid.Bool().Draw(t, "marked"), rapid.Bool().Draw(t, "confirmed"), rapid.Bool().Draw(t, "not found"))
				if before != nil {
					u.hide(before)
				}
				u.show(after)
				there[id] = after
				delete(coming, id)
			case "delete":
				if before != nil {
					u.hide(before)
					delete(there, id)
				}
			case "lose":
				if before != nil {
					u.hide(toolscache.DeletedFinalStateUnknown{Key: "travel/a-" + id, Obj: before})
					delete(there, id)
				}
			}
			objects, notFound := 0, 0
			for _, ov := range there {
				if _, counts, unknown := judge(ov); counts {
					objects++
					if unknown {
						notFound++
					}
				}
			}
			if o, n := u.count(channel{"travel", "a"}); o != objects || n != notFound || len(u.allComing()) != len(coming) {
				t.Fatalf("%d counted, %d not found, %d coming; want %d, %d, %d", o, n, len(u.allComing()), objects, notFound, len(coming))
			}
		}
	})
}

// A Channel that has nothing costs nothing.
func TestForgottenChannelsCostNothing(t *testing.T) {
	u := newUnknown()
	for i := range 10 {
		o := object{Kind: kindOrder, Namespace: "travel", Channel: fmt.Sprint(i), ID: "1"}
		for _, most := range []int{0, 1} {
			if err := u.enter(fact{Object: o}, nil, most, time.Now()); (err == nil) != (most > 0) {
				t.Fatal(err)
			}
		}
		u.leave(o)
		u.hide(shownOrder(fmt.Sprint(i), true, false, false))
	}
	if u.rest(time.Now().Add(-time.Minute)); len(u.written) != 10 {
		t.Errorf("of 10 that wrote at this very time %d are remembered", len(u.written))
	}
	if u.rest(time.Now().Add(time.Minute)); len(u.channels)+len(u.written) > 0 {
		t.Errorf("%d and %d are remembered", len(u.channels), len(u.written))
	}
}

// heavy is an order as the cache shows it, whose notifications weigh so much.
func heavy(o object, confirmed bool, weight int) *v1alpha1.OrderVoucher {
	there := shownOrder(o.ID, true, confirmed, false)
	there.Spec.ChannelRef.Name = o.Channel
	there.Spec.Notifications = []v1alpha1.Notification{{Sealed: strings.Repeat("x", weight)}}
	return there
}

// What is unknown may weigh so much together, also where it is few that are heavy; what goes, or is
// confirmed, gives the room back, and what is confirmed needs none.
func TestUnknownObjectsAreBoundedByWhatTheyWeigh(t *testing.T) {
	const most = 4
	u := newUnknown()
	of := func(id string) fact {
		return fact{Object: object{Kind: kindOrder, Namespace: "travel", Channel: "a", ID: id}, Unproven: true}
	}
	enters := func(f fact, there client.Object, want error) {
		t.Helper()
		if err := u.enter(f, there, most, time.Now()); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", f.Object, err, want)
		}
	}
	small, one := heavy(of("1").Object, false, most*unknownWeight), heavy(of("1").Object, false, most*unknownWeight+1)
	u.show(small)
	enters(of("1"), small, nil)
	enters(of("2"), nil, nil)
	u.hide(small)
	u.show(one)
	enters(of("1"), one, errUnknown)
	enters(of("2"), nil, errUnknown)
	enters(of("3"), heavy(of("3").Object, true, 10), nil)
	enters(fact{Object: object{Kind: kindChannel, Namespace: "travel", Channel: "a"}}, nil, nil)
	u.hide(one)
	u.show(heavy(of("1").Object, true, most*unknownWeight+1))
	enters(of("1"), nil, nil)
}

// What unproven pushes have written is bounded by its bytes, and each write is the whole object; a
// Channel's are not another's, what is refused takes nothing, and in time more may come.
func TestWhatUnprovenPushesHaveWrittenIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUnknown()
		many := func(f fact, there client.Object) (n int) {
			for n < 2*unprovenBurst/bareWeight && u.enter(f, there, 10, time.Now()) == nil {
				n++
			}
			return n
		}
		order := fact{Object: object{Kind: kindOrder, Namespace: "travel", Channel: "a", ID: "1"}, Order: &orderFact{}}
		light := many(order, nil)
		if want := unprovenBurst / (bareWeight + order.weight()); light != want {
			t.Errorf("%d small ones at once, want %d", light, want)
		}
		if n := many(order, nil); n > 0 {
			t.Errorf("and %d more", n)
		}
		notice := fact{Object: object{Kind: kindChannel, Namespace: "travel", Channel: "a"}, Notice: &v1alpha1.ChannelNotice{}}
		if err := u.enter(notice, nil, 10, time.Now()); !errors.Is(err, errOften) {
			t.Errorf("a notice beside: %v", err)
		}
		time.Sleep(time.Second) // in a bubble: no time at all
		if n, want := many(order, nil), unprovenRate/(bareWeight+order.weight()); n < want || n > want+1 {
			t.Errorf("%d small ones after a second, want %d", n, want)
		}
		order.Object.Channel, notice.Object.Channel = "b", "c"
		if n := many(order, heavy(order.Object, true, 800_000)); n != unprovenBurst/(800_000+bareWeight+order.weight()) {
			t.Errorf("%d on one of 800 kB", n)
		}
		full := &v1alpha1.Channel{}
		for range maxNotices {
			full.Status.Notices = append(full.Status.Notices, v1alpha1.ChannelNotice{Sealed: strings.Repeat("x", maxSealedNotice)})
		}
		if n := many(notice, full); n != unprovenBurst/(maxNotices*maxSealedNotice+bareWeight+notice.weight()) {
			t.Errorf("%d notices on a full Channel", n)
		}
	})
}

// An object counts if it is marked and the platform never confirmed it.
func TestOnlyMarkedAndUnconfirmedCounts(t *testing.T) {
	for _, test := range []struct{ marked, confirmed, notFound, counts bool }{
		{marked: true, counts: true}, {marked: true, notFound: true, counts: true},
		{}, {notFound: true}, {marked: true, confirmed: true}, {marked: true, confirmed: true, notFound: true},
	} {
		if _, counts, notFound := judge(shownOrder("1", test.marked, test.confirmed, test.notFound)); counts != test.counts || notFound != (test.counts && test.notFound) {
			t.Errorf("%+v: %v, %v", test, counts, notFound)
		}
	}
	ps := &v1alpha1.ProductSync{ObjectMeta: shownOrder("1", true, false, false).ObjectMeta,
		Spec: v1alpha1.ProductSyncSpec{ChannelRef: v1alpha1.ChannelReference{Name: "a"}, ProductID: "1"}}
	o, counts, _ := judge(ps)
	if !counts || o != (object{Kind: kindProduct, Namespace: "travel", Channel: "a", ID: "1"}) {
		t.Errorf("%+v: %v", o, counts)
	}
	restored := shownOrder("1", true, false, true)
	restored.CreationTimestamp = metav1.NewTime(time.Now())
	if _, counts, notFound := judge(restored); counts || notFound {
		t.Errorf("one that was restored counts: %v, %v", counts, notFound)
	}
	if ps.Status.FetchedAt = &(metav1.Time{}); func() bool { _, counts, _ := judge(ps); return counts }() {
		t.Error("a product that was fetched counts")
	}
}

// A replica that has not seen all does not say what there is.
func TestNothingIsToldBeforeAllIsSeen(t *testing.T) {
	l := New(nil, nil, nil)
	if _, _, counted := l.Unknown(types.NamespacedName{Name: "a"}); counted {
		t.Error("with nothing watched it is counted")
	}
	synced := false
	l.unknown.synced = []func() bool{func() bool { return true }, func() bool { return synced }}
	if _, _, counted := l.Unknown(types.NamespacedName{Name: "a"}); counted {
		t.Error("it is counted too early")
	}
	synced = true
	if _, _, counted := l.Unknown(types.NamespacedName{Name: "a"}); !counted {
		t.Error("it is not counted")
	}
}

// One proven push in a group is enough: what the group makes is not marked.
func TestOneProvenPushInAGroupVouches(t *testing.T) {
	for _, test := range []struct {
		unproven []bool
		marked   bool
	}{{[]bool{true, true}, true}, {[]bool{true, false, true}, false}, {[]bool{false}, false}} {
		var facts []fact
		for _, doubtful := range test.unproven {
			facts = append(facts, fact{Object: object{Kind: kindOrder, Channel: "a", ID: "1"}, Unproven: doubtful})
		}
		mark(facts)
		for i, f := range facts {
			_, marked := f.Object.meta("a-1").Labels[v1alpha1.LabelUnproven]
			if marked != test.marked {
				t.Errorf("%v: %d is marked: %v", test.unproven, i, marked)
			}
		}
	}
}

// What the cache drops of an object weighs what it weighed.
func TestWhatTheCacheDropsHasItsWeight(t *testing.T) {
	whole := heavy(object{Kind: kindOrder, Namespace: "travel", Channel: "a", ID: "1"}, true, 8<<10)
	dropped := whole.DeepCopyObject().(*v1alpha1.OrderVoucher)
	bytes := 0
	for i := range dropped.Spec.Notifications {
		bytes += len(dropped.Spec.Notifications[i].Sealed)
		dropped.Spec.Notifications[i].Sealed = ""
	}
	unproven.NoteSealed(dropped, bytes)
	if bytes == 0 || weightOf(dropped) != weightOf(whole) {
		t.Errorf("%d bytes were dropped: it weighs %d, and weighed %d", bytes, weightOf(dropped), weightOf(whole))
	}
}
