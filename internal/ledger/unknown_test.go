package ledger

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"pgregory.net/rapid"

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
				if before == nil && u.enter(o, most, time.Now()) != room {
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
		u.enter(o, 0, time.Now())
		u.enter(o, 1, time.Now())
		u.leave(o)
		u.hide(shownOrder(fmt.Sprint(i), true, false, false))
	}
	if len(u.channels) > 0 {
		t.Errorf("%d are remembered", len(u.channels))
	}
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
