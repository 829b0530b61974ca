package controllers

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func newOrder(alter ...func(*v1alpha1.OrderVoucher)) *v1alpha1.OrderVoucher {
	ov := &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Generation: 1, CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour))},
		Spec: v1alpha1.OrderVoucherSpec{OrderID: "1"}, Status: v1alpha1.OrderVoucherStatus{ObservedGeneration: -1}}
	for _, alter := range alter {
		alter(ov)
	}
	return ov
}

// told adds a notification, received so many minutes from noon.
func told(kind v1alpha1.NotificationType, minute int) func(*v1alpha1.OrderVoucher) {
	return func(ov *v1alpha1.OrderVoucher) {
		at := metav1.NewMicroTime(noon.Add(time.Duration(minute) * time.Minute))
		n := v1alpha1.Notification{ID: fmt.Sprintf("m%d", len(ov.Spec.Notifications)), Type: kind, PlatformType: strings.ToUpper(string(kind)),
			OccurredAt: &at, ReceivedAt: at, Succeeded: ptr.To(true)}
		switch kind {
		case v1alpha1.NotificationRefunded:
			n.Refund = &v1alpha1.NotifiedRefund{ID: "R1", Full: true, Succeeded: ptr.To(true), Amount: &v1alpha1.Money{Currency: "CNY", Amount: 700}}
		case v1alpha1.NotificationCodesIssued:
			n.Codes = []v1alpha1.Code{{ID: "a", Hint: "A•••", Persons: ptr.To(int64(2))}}
		}
		ov.Spec.Notifications = append(ov.Spec.Notifications, n)
		ov.Generation++
	}
}

func issued() *order.Answer {
	return &order.Answer{State: order.Issued, PlatformStatus: "1003", RefundState: order.RefundNone, Currency: "CNY", Quantity: ptr.To(int64(2)),
		Codes: []v1alpha1.Code{{ID: "a", Hint: "A•••", Persons: ptr.To(int64(2)), Used: ptr.To(int64(0))}}}
}

func refunded() *order.Answer {
	a := issued()
	a.RefundState, a.Codes[0].Refunded = order.RefundFull, ptr.To(int64(2))
	a.Refunded = &v1alpha1.Money{Currency: "CNY", Amount: 700}
	a.Refunds = []v1alpha1.Refund{{ID: "R1", Succeeded: ptr.To(true), Amount: a.Refunded}}
	return a
}

// confirmed is an order that the platform answered for, an hour before noon.
func confirmed(a *order.Answer) func(*v1alpha1.OrderVoucher) {
	return func(ov *v1alpha1.OrderVoucher) {
		ov.Status, _ = decideOrder(ov, seenOrder{asked: true, answer: a}, noon.Add(-time.Hour))
	}
}

// taken is an order on a platform whose pushes decide.
func taken(ov *v1alpha1.OrderVoucher) {
	ov.Status, _ = decideOrder(ov, seenOrder{asked: true, pushesDecide: true}, noon.Add(-time.Hour))
}

// gone is said of the Channel of an order when it is not there.
var gone = notAskedChannel(nil, nil, anyKey)

func orderAsksFor(value string) func(*v1alpha1.OrderVoucher) {
	return func(ov *v1alpha1.OrderVoucher) {
		ov.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: value}
	}
}

func TestOrderAsks(t *testing.T) {
	later := noon.Add(time.Minute)
	for name, test := range map[string]struct {
		ov   *v1alpha1.OrderVoucher
		due  time.Time
		want bool
	}{
		"never asked":   {newOrder(), time.Time{}, true},
		"settled":       {newOrder(confirmed(issued())), later, false},
		"due":           {newOrder(confirmed(issued())), noon, true},
		"over":          {newOrder(confirmed(refunded())), time.Time{}, false},
		"requested":     {newOrder(confirmed(refunded()), orderAsksFor("1")), time.Time{}, true},
		"handled":       {newOrder(orderAsksFor("1"), confirmed(refunded())), time.Time{}, false},
		"news":          {newOrder(confirmed(refunded()), told(v1alpha1.NotificationPaid, 0)), time.Time{}, true},
		"not confirmed": {newOrder(told(v1alpha1.NotificationRefunded, 0), confirmed(issued())), later, true},
	} {
		if got := orderAsks(test.ov, test.due, noon); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOver(t *testing.T) {
	code := func(used, refunded int64) v1alpha1.Code {
		return v1alpha1.Code{ID: "a", Persons: ptr.To(int64(2)), Used: &used, Refunded: &refunded}
	}
	open := []v1alpha1.Refund{{ID: "R1"}}
	for name, test := range map[string]struct {
		status v1alpha1.OrderVoucherStatus
		want   bool
	}{
		"pending":                       {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderPending}, false},
		"issued":                        {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderIssued, Codes: []v1alpha1.Code{code(0, 0)}}, false},
		"partly used":                   {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderPartlyUsed, Codes: []v1alpha1.Code{code(2, 0), code(1, 0)}}, false},
		"used":                          {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderUsed}, true},
		"used, a refund asked for":      {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderUsed, Refunds: open}, false},
		"refunded":                      {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderRefunded}, true},
		"refund requested, all spent":   {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderRefundRequested, Codes: []v1alpha1.Code{code(2, 0)}}, false},
		"the rest used":                 {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderPartlyRefunded, Codes: []v1alpha1.Code{code(1, 1)}}, true},
		"the rest not used":             {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderPartlyRefunded, Codes: []v1alpha1.Code{code(0, 1)}}, false},
		"failed":                        {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderFailed}, true},
		"failed, its refund undecided":  {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderFailed, Refunds: open}, false},
		"cancelled":                     {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderCancelled}, true},
		"partly refunded without codes": {v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderPartlyRefunded}, false},
	} {
		if got := over(&test.status); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestOrderDue: an open order is asked for slower and slower, one that is over never.
func TestOrderDue(t *testing.T) {
	r := &OrderVoucherReconciler{looks: newLooks(noon.Add(-2 * time.Hour))}
	for name, test := range map[string]struct {
		ov   *v1alpha1.OrderVoucher
		want time.Time
	}{
		"never confirmed": {newOrder(), time.Time{}},
		"over":            {newOrder(confirmed(refunded())), time.Time{}},
		"open":            {newOrder(confirmed(issued())), noon.Add(firstOrderLook - time.Hour)},
	} {
		if got := r.due(anyKey, test.ov); !got.Equal(test.want) {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	open := newOrder(confirmed(issued()))
	r.looks.answeredNow(anyKey, noon)
	if got := r.due(anyKey, open); !got.Equal(noon.Add(30 * time.Minute)) {
		t.Errorf("asked again after an hour: %s", got)
	}
}

func TestDecideOrder(t *testing.T) {
	suspended := suspendedOr(true, nil)
	failed := again{after: slowestOrderLook, failing: true, urgent: true}
	slow := again{after: slowestOrderLook}
	refund := told(v1alpha1.NotificationRefunded, -10)
	codes := told(v1alpha1.NotificationCodesIssued, -20)
	long := func(ov *v1alpha1.OrderVoucher) { ov.CreationTimestamp = metav1.NewTime(noon.AddDate(0, 0, -7)) }
	half := again{after: 30 * time.Minute} // an order confirmed an hour ago
	for name, test := range map[string]struct {
		ov     *v1alpha1.OrderVoucher
		seen   seenOrder
		reason string
		ready  bool
		phase  v1alpha1.OrderPhase
		next   again
	}{
		"first answer":                  {newOrder(codes), seenOrder{answer: issued()}, v1alpha1.ReasonConfirmed, true, v1alpha1.OrderIssued, again{after: firstOrderLook}},
		"same answer":                   {newOrder(codes, confirmed(issued())), seenOrder{answer: issued()}, v1alpha1.ReasonConfirmed, true, v1alpha1.OrderIssued, half},
		"confirmed refund":              {newOrder(codes, refund), seenOrder{answer: refunded()}, v1alpha1.ReasonConfirmed, true, v1alpha1.OrderRefunded, again{}},
		"unconfirmed refund":            {newOrder(codes, confirmed(issued()), refund), seenOrder{answer: issued()}, v1alpha1.ReasonNotConfirmed, false, v1alpha1.OrderIssued, again{after: 5 * time.Minute}},
		"unconfirmed, at once":          {newOrder(codes, told(v1alpha1.NotificationRefunded, 0)), seenOrder{answer: issued()}, v1alpha1.ReasonNotConfirmed, false, v1alpha1.OrderIssued, again{after: firstDoubt}},
		"unconfirmed, for days":         {newOrder(long, told(v1alpha1.NotificationCodesIssued, -9999), told(v1alpha1.NotificationRefunded, -9999)), seenOrder{answer: issued()}, v1alpha1.ReasonNotConfirmed, false, v1alpha1.OrderIssued, slow},
		"down, never confirmed":         {newOrder(codes, refund), seenOrder{err: errDown}, v1alpha1.ReasonProgressingWithRetry, false, v1alpha1.OrderIssued, failed},
		"down, confirmed before":        {newOrder(confirmed(issued()), refund), seenOrder{err: errDown}, v1alpha1.ReasonProgressingWithRetry, false, v1alpha1.OrderIssued, failed},
		"down, by itself":               {newOrder(confirmed(issued())), seenOrder{err: errDown}, v1alpha1.ReasonConfirmed, true, v1alpha1.OrderIssued, again{after: slowestOrderLook, failing: true}},
		"not known":                     {newOrder(codes), seenOrder{err: errNotFound}, v1alpha1.ReasonNotFound, false, v1alpha1.OrderIssued, again{after: firstSlowLook}},
		"not known any more":            {newOrder(confirmed(refunded()), refund), seenOrder{err: errNotFound}, v1alpha1.ReasonNotFound, false, v1alpha1.OrderRefunded, again{after: firstSlowLook}},
		"refused":                       {newOrder(codes), seenOrder{err: errRequest}, v1alpha1.ReasonRefused, false, v1alpha1.OrderIssued, slow},
		"account refused":               {newOrder(codes), seenOrder{err: errCredentials}, v1alpha1.ReasonChannelNotReady, false, v1alpha1.OrderIssued, again{after: slowestOrderLook, failing: true}},
		"throttled by us":               {newOrder(confirmed(issued()), refund), seenOrder{err: errOwnLimit}, v1alpha1.ReasonConfirmed, true, v1alpha1.OrderIssued, inAMoment},
		"throttled by them":             {newOrder(confirmed(issued()), refund), seenOrder{err: errTooMany}, v1alpha1.ReasonThrottled, false, v1alpha1.OrderIssued, failed},
		"being loaded":                  {newOrder(confirmed(issued()), refund), seenOrder{loading: true}, v1alpha1.ReasonConfirmed, true, v1alpha1.OrderIssued, failed},
		"suspended, news":               {newOrder(codes, refund), seenOrder{notAsked: suspended}, v1alpha1.ReasonSuspended, false, v1alpha1.OrderIssued, slow},
		"suspended, no news":            {newOrder(confirmed(issued()), orderAsksFor("1")), seenOrder{notAsked: suspended}, v1alpha1.ReasonConfirmed, true, v1alpha1.OrderIssued, slow},
		"pushes decide":                 {newOrder(codes, refund, orderAsksFor("1")), seenOrder{pushesDecide: true}, v1alpha1.ReasonNotConfirmable, true, v1alpha1.OrderRefunded, again{}},
		"pushes decide, more came":      {newOrder(codes, taken, refund), seenOrder{pushesDecide: true}, v1alpha1.ReasonNotConfirmable, true, v1alpha1.OrderRefunded, again{}},
		"pushes decide, suspended":      {newOrder(isSuspendedOrder, codes, orderAsksFor("1")), seenOrder{pushesDecide: true}, v1alpha1.ReasonNotConfirmable, true, v1alpha1.OrderIssued, again{}},
		"pushes decide, none came":      {newOrder(orderAsksFor("1")), seenOrder{pushesDecide: true}, v1alpha1.ReasonProgressing, false, v1alpha1.OrderPending, again{}},
		"pushes decided, Channel gone":  {newOrder(codes, taken), seenOrder{notAsked: gone, stopped: true}, v1alpha1.ReasonChannelNotReady, false, v1alpha1.OrderIssued, slow},
		"pushes decided, gone and over": {newOrder(codes, refund, taken, orderAsksFor("1")), seenOrder{notAsked: gone}, v1alpha1.ReasonNotConfirmable, true, v1alpha1.OrderRefunded, slow},
		"pushes decided, gone, news":    {newOrder(codes, refund, taken, codes), seenOrder{notAsked: gone}, v1alpha1.ReasonChannelNotReady, false, v1alpha1.OrderRefunded, slow},
	} {
		t.Run(name, func(t *testing.T) {
			test.seen.asked = true
			status, next := decideOrder(test.ov, test.seen, noon)
			if reason, ready := conditions.Of(status.Conditions); reason != test.reason || ready != test.ready || status.Phase != test.phase || next != test.next {
				t.Errorf("%s, ready %v, %s, %+v; want %s, %v, %s, %+v", reason, ready, status.Phase, next, test.reason, test.ready, test.phase, test.next)
			}
			handled := test.seen.notAsked == nil && answered(test.seen.err)
			if len(test.ov.Annotations) > 0 && requested(test.ov.Annotations, status.LastHandledRequestedAt) == handled {
				t.Errorf("handled %q", status.LastHandledRequestedAt)
			}
		})
	}
}

func isSuspendedOrder(ov *v1alpha1.OrderVoucher) { ov.Spec.Suspend = true }

// An order that is not Ready for want of pushes says so, and is Reconciling.
func TestOrderOfWhichNothingWasPushed(t *testing.T) {
	status, _ := decideOrder(newOrder(), seenOrder{asked: true, pushesDecide: true}, noon)
	if got := standing(status.Conditions); got.State != conditions.Reconciling || !strings.HasPrefix(got.Message, "nothing was pushed") {
		t.Errorf("%+v", got)
	}
	status, _ = decideOrder(newOrder(told(v1alpha1.NotificationPaid, 0)), seenOrder{asked: true, pushesDecide: true}, noon)
	if got := standing(status.Conditions); got.Message != "the platform offers no query for orders: this is what it pushed" {
		t.Errorf("%+v", got)
	}
}

// What proven pushes said stays when the Channel is gone: only that it is gone is new.
func TestPushesThatDecidedOutlastTheirChannel(t *testing.T) {
	ov := newOrder(told(v1alpha1.NotificationCodesIssued, -20), taken)
	before := ov.Status
	for range 3 {
		ov.Status, _ = decideOrder(ov, seenOrder{asked: true, notAsked: gone, stopped: true}, noon)
	}
	diff := cmp.Diff(before, ov.Status, cmpopts.IgnoreFields(v1alpha1.OrderVoucherStatus{}, "Conditions"))
	if diff != "" || before.Codes[0].Used != nil || ready(ov.Status.Conditions) {
		t.Errorf("used %v, ready %v, want -, got +:\n%s", before.Codes[0].Used, ready(ov.Status.Conditions), diff)
	}
}

func TestOrderNotAskedIsLeftAlone(t *testing.T) {
	for name, test := range map[string]struct {
		due  time.Time
		want again
	}{
		"over":    {time.Time{}, again{}},
		"open":    {noon.Add(time.Minute), again{after: time.Minute}},
		"overdue": {noon.Add(-time.Minute), again{after: time.Second}},
	} {
		ov := newOrder(confirmed(issued()))
		if status, next := decideOrder(ov, seenOrder{due: test.due}, noon); next != test.want || !cmp.Equal(ov.Status, status) {
			t.Errorf("%s: %+v, %s", name, next, cmp.Diff(ov.Status, status))
		}
	}
}

func TestClaimsNameTheirMessages(t *testing.T) {
	var unconfirmed []order.Claim
	for i := range 5 {
		unconfirmed = append(unconfirmed, order.Claim{NotificationID: "m" + strconv.Itoa(i), Text: "says so"})
	}
	if got := claims(unconfirmed); got != "says so (message m0); says so (message m1); says so (message m2); and 2 more" {
		t.Error(got)
	}
	if got := claims(unconfirmed[:1]); got != "says so (message m0)" {
		t.Error(got)
	}
}

// TestMessageNamesTheClaimsThatStand: not those that were confirmed meanwhile.
func TestMessageNamesTheClaimsThatStand(t *testing.T) {
	ov := newOrder(told(v1alpha1.NotificationRefunded, 0), confirmed(issued()))
	before := ov.Status.Conditions[0].Message
	told(v1alpha1.NotificationCancelled, 1)(ov)
	status, _ := decideOrder(ov, seenOrder{asked: true, answer: issued()}, noon)
	if after := status.Conditions[0].Message; !strings.Contains(before, "m0") || !strings.Contains(after, "m1") {
		t.Errorf("%q, then %q", before, after)
	}
}

func TestMaskedHoldsNoCodeInClear(t *testing.T) {
	identity, err := sealing.NewIdentity()
	must(t, err)
	recipients, err := sealing.Recipients(identity)
	must(t, err)
	sealer, err := sealing.NewSealer(recipients, sealing.NewCodeKey())
	must(t, err)
	const code = "PLANTED-CODE-20251122"
	got := masked(&accounts.Account{Sealer: sealer}, platform.Order{State: platform.OrderIssued, Currency: "CNY", RefundedAmount: ptr.To(int64(5)),
		Codes: []platform.Code{{Text: sealing.NewSecret(code), Used: ptr.To(int64(1))}},
		Refunds: []platform.RefundFact{{ID: "R1", Amount: ptr.To(int64(5)), At: noon, Reason: strings.Repeat("x", 600),
			Succeeded: ptr.To(true)}}})
	if text := fmt.Sprintf("%+v %+v", got, got.Codes); strings.Contains(text, code) || len(got.Codes) != 1 || *got.Codes[0].Used != 1 {
		t.Error(text)
	}
	refund := got.Refunds[0]
	if got.Refunded.Amount != 5 || refund.Amount.Amount != 5 || !refund.At.Time.Equal(noon) || len([]rune(refund.Reason)) > maxReason || !*refund.Succeeded {
		t.Errorf("%+v", refund)
	}
}

// TestOrdersOverTime walks orders through pushes, requests and looks of all outcomes, and
// checks what always holds.
func TestOrdersOverTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ov, now := newOrder(), noon
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second)
			switch rapid.SampledFrom([]string{"push", "request", "look", "look", "look"}).Draw(t, "step") {
			case "push":
				told(rapid.SampledFrom([]v1alpha1.NotificationType{v1alpha1.NotificationPaid, v1alpha1.NotificationCodesIssued,
					v1alpha1.NotificationRefunded, v1alpha1.NotificationCancelled, v1alpha1.NotificationStatusChanged}).Draw(t, "type"), step)(ov)
			case "request":
				orderAsksFor(strconv.Itoa(step))(ov)
			case "look":
				lookAtOrder(t, ov, now)
			}
		}
	})
}

func lookAtOrder(t *rapid.T, ov *v1alpha1.OrderVoucher, now time.Time) {
	r := &OrderVoucherReconciler{looks: newLooks(noon)}
	seen := seenOrder{due: r.due(anyKey, ov)}
	if seen.asked = orderAsks(ov, seen.due, now); seen.asked {
		switch rapid.SampledFrom([]string{"issued", "refunded", "error", "not asked", "loading"}).Draw(t, "outcome") {
		case "issued":
			seen.answer = issued()
		case "refunded":
			seen.answer = refunded()
		case "error":
			seen.err = rapid.SampledFrom(allErrors[1:]).Draw(t, "error")
		case "not asked":
			seen.notAsked = &conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonChannelNotReady, Message: "no"}
		case "loading":
			seen.loading = true
		}
	}
	before := ov.DeepCopy()
	status, next := decideOrder(ov, seen, now)
	if !cmp.Equal(before, ov) {
		t.Fatalf("the object was altered: %s", cmp.Diff(before, ov))
	}
	checkOrder(t, ov, seen, status, next)
	ov.Status = status
	if again, _ := decideOrder(ov, seen, now.Add(time.Minute)); !cmp.Equal(status, again) {
		t.Errorf("the same look again is a write: %s", cmp.Diff(status, again))
	}
	if !orderAsks(ov, r.due(anyKey, ov), now) {
		seen = seenOrder{due: r.due(anyKey, ov)}
		if again, _ := decideOrder(ov, seen, now.Add(time.Minute)); !cmp.Equal(status, again) {
			t.Errorf("a look that asks nothing is a write: %s", cmp.Diff(status, again))
		}
	}
}

func checkOrder(t *rapid.T, ov *v1alpha1.OrderVoucher, seen seenOrder, status v1alpha1.OrderVoucherStatus, next again) {
	if len(status.Conditions) > 0 || !briefly(seen.err) && !seen.loading {
		if err := conditions.Check(status.Conditions, ov.Generation, status.ObservedGeneration); err != nil {
			t.Errorf("conditions: %v", err)
		}
	}
	isReady := ready(status.Conditions)
	if seen.answer == nil && status.Phase != ov.Status.Phase && proven(status.Phase) {
		t.Errorf("%s on the word of pushes alone", status.Phase)
	}
	if seen.answer == nil && !cmp.Equal(ov.Status.Confirmed, status.Confirmed) {
		t.Errorf("confirmed without an answer")
	}
	if seen.answer == nil && isReady && !ready(ov.Status.Conditions) {
		t.Errorf("Ready without an answer")
	}
	if status.Phase == v1alpha1.OrderRefunded && seen.answer != nil && seen.answer.RefundState != order.RefundFull {
		t.Errorf("Refunded, and the platform says %s", seen.answer.RefundState)
	}
	if final := isReady && over(&status); next.after <= 0 && !final || next.after > slowestOrderLook {
		t.Errorf("the next look is in %s, phase %s", next.after, status.Phase)
	}
}

// TestOrdersWhosePushesDecideOverTime: whatever happens to the Channel, what was pushed is
// shown, and the same look again is no write.
func TestOrdersWhosePushesDecideOverTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ov, now := newOrder(), noon
		r := &OrderVoucherReconciler{looks: newLooks(noon)}
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second)
			switch rapid.SampledFrom([]string{"push", "request", "suspend", "look", "look", "look"}).Draw(t, "step") {
			case "push":
				told(rapid.SampledFrom([]v1alpha1.NotificationType{v1alpha1.NotificationCodesIssued, v1alpha1.NotificationCancelled,
					v1alpha1.NotificationStatusChanged}).Draw(t, "type"), step)(ov)
			case "request":
				orderAsksFor(strconv.Itoa(step))(ov)
			case "suspend":
				ov.Spec.Suspend = !ov.Spec.Suspend
				ov.Generation++
			case "look":
				seen := seenOrder{asked: orderAsks(ov, r.due(anyKey, ov), now), due: r.due(anyKey, ov), mute: true}
				switch rapid.SampledFrom([]string{"decided", "decided", "gone", "loading"}).Draw(t, "Channel") {
				case "decided":
					seen.pushesDecide = true
				case "gone":
					seen.mute, seen.notAsked, seen.stopped = false, gone, !ov.Spec.Suspend && !over(&ov.Status)
				case "loading":
					seen.loading = seen.asked
				}
				lookAtPushed(t, ov, seen, now)
			}
		}
	})
}

func lookAtPushed(t *rapid.T, ov *v1alpha1.OrderVoucher, seen seenOrder, now time.Time) {
	status, _ := decideOrder(ov, seen, now)
	if !seen.loading {
		if err := conditions.Check(status.Conditions, ov.Generation, status.ObservedGeneration); err != nil {
			t.Errorf("conditions: %v", err)
		}
	}
	before := ov.Status
	ov.Status = status
	if again, _ := decideOrder(ov, seen, now.Add(time.Minute)); !cmp.Equal(status, again) {
		t.Errorf("the same look again is a write: %s", cmp.Diff(status, again))
	}
	if !seen.pushesDecide {
		return
	}
	want := order.Fold(ov.Spec.Notifications, order.Evidence{Trusted: true}).Status
	if status.Phase != want.Phase || !cmp.Equal(status.Codes, want.Codes) || ready(status.Conditions) != (len(ov.Spec.Notifications) > 0) {
		t.Errorf("was %s, is %s and ready %v, and the pushes say %s", before.Phase, status.Phase, ready(status.Conditions), want.Phase)
	}
	if requested(ov.Annotations, status.LastHandledRequestedAt) {
		t.Error("a request was not settled")
	}
}
