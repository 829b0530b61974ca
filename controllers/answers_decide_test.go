package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// waits adds a notification that asks for an answer: received and, if it has a deadline,
// until so many minutes from noon.
func waits(kind v1alpha1.NotificationType, received int, until ...int) func(*v1alpha1.OrderVoucher) {
	return func(ov *v1alpha1.OrderVoucher) {
		id := fmt.Sprintf("m%d", len(ov.Spec.Notifications))
		n := v1alpha1.Notification{ID: id, Type: kind, PlatformType: "ask", ReceivedAt: metav1.NewMicroTime(minute(received)),
			Reply: &v1alpha1.NotificationReply{Result: v1alpha1.ResultPending}, Codes: []v1alpha1.Code{{ID: "h-" + id, Hint: "u•••", Ref: "u-" + id}}}
		if kind == v1alpha1.NotificationRefundRequested {
			n.Refund = &v1alpha1.NotifiedRefund{ID: "R-" + id}
		}
		for _, m := range until {
			n.Deadline = ptr.To(metav1.NewTime(minute(m)))
		}
		ov.Spec.Notifications = append(ov.Spec.Notifications, n)
		ov.Generation++
	}
}

func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

var (
	wantsSomeCodes = v1alpha1.NotificationCodesRequested
	wantsARefund   = v1alpha1.NotificationRefundRequested
)

func paidOrder() *order.Answer {
	return &order.Answer{State: order.Paid, PlatformStatus: "paid", RefundState: order.RefundNone, Currency: "CNY"}
}

// listing is an answer that lists refunds as open.
func listing(ids ...string) *order.Answer {
	a := paidOrder()
	for _, id := range ids {
		a.Refunds = append(a.Refunds, v1alpha1.Refund{ID: id})
	}
	return a
}

func TestDecideWhatIsOwed(t *testing.T) {
	suspended := suspendedOr(true, nil)
	lacks := func(reason string) *missing { return &missing{reason, "do something"} }
	codes, refund := owed{Debt: order.Debt{NotificationID: "m0"}}, owed{Debt: order.Debt{NotificationID: "m0"}}
	codes.missing, refund.missing = lacks(v1alpha1.ReasonCodesNeeded), lacks(v1alpha1.ReasonDecisionNeeded)
	failed := func(err error) []owed { return []owed{{Debt: order.Debt{NotificationID: "m0"}, err: err}} }
	took := func(result v1alpha1.Result) []owed {
		return []owed{{Debt: order.Debt{NotificationID: "m0"}, result: result}}
	}
	tenMinutes, aDay := waits(wantsSomeCodes, 0, 10), waits(wantsARefund, 0, 24*60)
	const half, whole = 5 * time.Minute, 10 * time.Minute
	for name, test := range map[string]struct {
		ov     *v1alpha1.OrderVoucher
		now    int
		seen   seenOrder
		reason string
		state  conditions.State
		risk   string
		next   again
	}{
		"codes missing": {newOrder(tenMinutes), 0, seenOrder{answer: paidOrder(), owed: []owed{codes}}, v1alpha1.ReasonCodesNeeded, conditions.Waiting, "",
			again{after: firstOrderLook, notLater: half, deadline: true}},
		"codes missing, half the time is gone": {newOrder(tenMinutes), 5, seenOrder{answer: paidOrder(), owed: []owed{codes}}, v1alpha1.ReasonCodesNeeded, conditions.Waiting,
			v1alpha1.ReasonCodesNeeded, again{after: firstOrderLook, notLater: half, deadline: true}},
		"codes missing, too late": {newOrder(tenMinutes), 10, seenOrder{answer: paidOrder(), owed: []owed{codes}}, v1alpha1.ReasonCodesNeeded, conditions.Waiting,
			v1alpha1.ReasonDeadlineMissed, again{after: firstOrderLook}},
		"codes missing, the platform is down": {newOrder(tenMinutes), 0, seenOrder{err: errDown, owed: []owed{codes}}, v1alpha1.ReasonCodesNeeded, conditions.Waiting, "",
			again{after: firstOrderLook, failing: true, urgent: true, notLater: half, deadline: true}},
		"codes without a deadline": {newOrder(waits(wantsSomeCodes, 0)), 60, seenOrder{answer: paidOrder(), owed: []owed{codes}}, v1alpha1.ReasonCodesNeeded, conditions.Waiting, "",
			again{after: firstOrderLook}},
		"codes not taken": {newOrder(tenMinutes), 1, seenOrder{answer: paidOrder(), owed: failed(errDown)}, v1alpha1.ReasonProgressingWithRetry, conditions.Reconciling,
			v1alpha1.ReasonAnswerFailed, again{after: firstOrderLook, failing: true, urgent: true, notLater: half - time.Minute, deadline: true}},
		"codes not taken, soon too late": {newOrder(tenMinutes), 8, seenOrder{answer: paidOrder(), owed: failed(errDown)}, v1alpha1.ReasonProgressingWithRetry, conditions.Reconciling,
			v1alpha1.ReasonAnswerFailed, again{after: 30 * time.Second, failing: true, urgent: true, notLater: 2 * time.Minute, deadline: true}},
		"codes not taken in time": {newOrder(tenMinutes), 20, seenOrder{answer: paidOrder(), owed: failed(errDown)}, v1alpha1.ReasonProgressingWithRetry, conditions.Reconciling,
			v1alpha1.ReasonDeadlineMissed, again{after: firstOrderLook, failing: true}},
		"codes refused": {newOrder(tenMinutes), 1, seenOrder{answer: paidOrder(), owed: failed(errRequest)}, v1alpha1.ReasonAnswerFailed, conditions.Stalled,
			v1alpha1.ReasonAnswerFailed, again{after: firstOrderLook, notLater: half - time.Minute, deadline: true}},
		"codes for an order that is not known": {newOrder(tenMinutes), 1, seenOrder{err: errNotFound, owed: failed(errNotFound)}, v1alpha1.ReasonAnswerFailed, conditions.Waiting,
			v1alpha1.ReasonAnswerFailed, again{after: firstSlowLook, notLater: half - time.Minute, deadline: true}},
		"codes, the account refused": {newOrder(tenMinutes), 1, seenOrder{answer: paidOrder(), owed: failed(errCredentials)}, v1alpha1.ReasonChannelNotReady, conditions.Waiting,
			v1alpha1.ReasonAnswerFailed, again{after: firstOrderLook, failing: true, notLater: half - time.Minute, deadline: true}},
		"codes, the account refused before": {newOrder(tenMinutes), 6, seenOrder{err: errCredentials}, v1alpha1.ReasonChannelNotReady, conditions.Waiting,
			v1alpha1.ReasonAnswerFailed, again{after: slowestOrderLook, failing: true, notLater: 4 * time.Minute, deadline: true}},
		"codes not told": {newOrder(tenMinutes), 1, seenOrder{answer: paidOrder()}, v1alpha1.ReasonProgressing, conditions.Reconciling, "",
			again{after: firstOrderLook, notLater: half - time.Minute, deadline: true}},
		"codes taken": {newOrder(tenMinutes), 1, seenOrder{answer: issued(), owed: took(v1alpha1.ResultIssued)}, v1alpha1.ReasonConfirmed, conditions.Ready, "",
			again{after: firstOrderLook}},
		"codes taken, the order not seen since": {newOrder(tenMinutes), 1, seenOrder{answer: paidOrder(), stale: true, owed: took(v1alpha1.ResultIssued)}, v1alpha1.ReasonProgressing, conditions.Reconciling, "",
			again{after: firstOrderLook, failing: true, urgent: true}},
		"codes taken, the order never seen": {newOrder(tenMinutes), 1, seenOrder{err: errOwnLimit, owed: took(v1alpha1.ResultIssued)}, v1alpha1.ReasonThrottled, conditions.Reconciling, "",
			again{after: slowestOrderLook, failing: true, urgent: true}},
		"codes shown": {newOrder(tenMinutes), 1, seenOrder{answer: issued()}, v1alpha1.ReasonConfirmed, conditions.Ready, "",
			again{after: firstOrderLook}},
		"codes, put off for a moment": {newOrder(tenMinutes), 1, seenOrder{err: errOwnLimit}, v1alpha1.ReasonThrottled, conditions.Reconciling, "",
			again{after: firstOrderLook, failing: true, urgent: true, notLater: half - time.Minute, deadline: true}},
		"codes, nobody to tell": {newOrder(tenMinutes), 1, seenOrder{answer: paidOrder(), mute: true}, v1alpha1.ReasonConfirmed, conditions.Ready, "",
			again{after: firstOrderLook}},
		"suspended": {newOrder(tenMinutes), 1, seenOrder{notAsked: suspended}, v1alpha1.ReasonSuspended, conditions.Waiting, "",
			again{after: slowestOrderLook, notLater: half - time.Minute, deadline: true}},
		"suspended, half the time is gone": {newOrder(tenMinutes), 6, seenOrder{notAsked: suspended}, v1alpha1.ReasonSuspended, conditions.Waiting,
			v1alpha1.ReasonSuspended, again{after: slowestOrderLook, notLater: 4 * time.Minute, deadline: true}},

		"decision missing": {newOrder(aDay), 60, seenOrder{answer: listing("R-m0"), owed: []owed{refund}}, v1alpha1.ReasonDecisionNeeded, conditions.Waiting, "",
			again{after: firstOrderLook, notLater: 11 * time.Hour, deadline: true}},
		"decision missing, half the time is gone": {newOrder(aDay), 12 * 60, seenOrder{answer: listing("R-m0"), owed: []owed{refund}}, v1alpha1.ReasonDecisionNeeded, conditions.Waiting,
			v1alpha1.ReasonDecisionNeeded, again{after: firstOrderLook, notLater: 12 * time.Hour, deadline: true}},
		"decided by the platform, which lists no refunds": {newOrder(aDay), 60, seenOrder{answer: &order.Answer{State: order.Issued, RefundState: order.RefundFailed}},
			v1alpha1.ReasonConfirmed, conditions.Ready, "", again{after: firstOrderLook}},
		"the platform's word missing": {newOrder(aDay), 60, seenOrder{err: errDown, owed: []owed{{Debt: order.Debt{NotificationID: "m0"}}}},
			v1alpha1.ReasonProgressingWithRetry, conditions.Reconciling, "", again{after: 30 * time.Minute, failing: true, urgent: true, notLater: 11 * time.Hour, deadline: true}},
		"refused, as told": {newOrder(aDay), 60, seenOrder{answer: paidOrder(), owed: took(v1alpha1.ResultRefused)}, v1alpha1.ReasonConfirmed, conditions.Ready, "",
			again{after: firstOrderLook}},
		"approved, and not shown yet": {newOrder(aDay), 60, seenOrder{answer: paidOrder(), owed: took(v1alpha1.ResultApproved)}, v1alpha1.ReasonNotConfirmed, conditions.Reconciling, "",
			again{after: firstDoubt}},
	} {
		t.Run(name, func(t *testing.T) {
			test.seen.asked = true
			now := minute(test.now)
			status, next := decideOrder(test.ov, test.seen, now)
			if got := standing(status.Conditions); got.Reason != test.reason || got.State != test.state {
				t.Errorf("%+v, want %s, %d", got, test.reason, test.state)
			}
			risk := ""
			if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAtRisk); c != nil {
				risk = c.Reason
			}
			if risk != test.risk {
				t.Errorf("at risk: %q, want %q", risk, test.risk)
			}
			// How often a look without an answer comes is another test's matter.
			if next.after > test.next.after && test.next.after == firstOrderLook {
				next.after = firstOrderLook
			}
			if next != test.next {
				t.Errorf("next %+v, want %+v", next, test.next)
			}
			if err := conditions.Check(status.Conditions, test.ov.Generation, status.ObservedGeneration); err != nil {
				t.Error(err)
			}
			again := test.ov.DeepCopy()
			again.Status = status
			if repeated, _ := decideOrder(again, test.seen, now); !cmp.Equal(status, repeated) {
				t.Errorf("the same look again is a write: %s", cmp.Diff(status, repeated))
			}
		})
	}
}

func TestDeadlineIsTheEarliest(t *testing.T) {
	later, sooner, never := waits(wantsARefund, 0, 90), waits(wantsARefund, 0, 30), waits(wantsARefund, 0)
	for name, test := range map[string]struct {
		ov   *v1alpha1.OrderVoucher
		want *metav1.Time
	}{
		"nothing owed":     {newOrder(), nil},
		"none has one":     {newOrder(never, never), nil},
		"one has one":      {newOrder(never, later), stamp(minute(90))},
		"the earliest":     {newOrder(later, never, sooner), stamp(minute(30))},
		"the next of them": {newOrder(later, sooner, func(ov *v1alpha1.OrderVoucher) { ov.Status.Answers = answersTo("m1") }), stamp(minute(90))},
	} {
		status, _ := decideOrder(test.ov, seenOrder{asked: true, err: errDown}, noon)
		if !cmp.Equal(status.Deadline, test.want) {
			t.Errorf("%s: %v, want %v", name, status.Deadline, test.want)
		}
	}
}

// TestRiskSpeaksOfTheMostUrgent of those that are at risk.
func TestRiskSpeaksOfTheMostUrgent(t *testing.T) {
	ov := newOrder(waits(wantsARefund, 0, 60), waits(wantsARefund, -60, 90))
	for now, want := range map[int]string{10: "", 20: "R-m1", 40: "R-m0", 95: "R-m0"} {
		status, _ := decideOrder(ov, seenOrder{asked: true, err: errDown}, minute(now))
		c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAtRisk)
		if (c != nil) != (want != "") || c != nil && !strings.Contains(c.Message, want) {
			t.Errorf("after %d minutes: %+v, want %q", now, c, want)
		}
	}
}

func answersTo(ids ...string) []v1alpha1.OrderAnswer {
	var answers []v1alpha1.OrderAnswer
	for _, id := range ids {
		answers = append(answers, v1alpha1.OrderAnswer{NotificationID: id, Result: v1alpha1.ResultRefused})
	}
	return answers
}

// TestAnswersAreBounded: what goes is what nothing is owed without.
func TestAnswersAreBounded(t *testing.T) {
	newest := owed{Debt: order.Debt{NotificationID: "new"}, result: v1alpha1.ResultRefused}
	full := func(first ...string) []string {
		ids := first
		for i := len(ids); i < maxAnswers; i++ {
			ids = append(ids, fmt.Sprintf("m%d", i))
		}
		return ids
	}
	many := func(ov *v1alpha1.OrderVoucher) {
		for range maxAnswers {
			waits(wantsARefund, 0)(ov)
		}
	}
	for name, test := range map[string]struct {
		ov      *v1alpha1.OrderVoucher
		answers []string
		dropped string
	}{
		"room":                        {newOrder(), []string{"m0", "m1"}, ""},
		"full, some gone":             {newOrder(waits(wantsARefund, 0)), full("m0", "m1"), "m1"},
		"full, one gone, one decided": {newOrder(waits(wantsARefund, 0), func(ov *v1alpha1.OrderVoucher) { ov.Spec.Notifications[0].Reply = nil }), full("m0", "m1"), "m1"},
		"full, one decided since":     {newOrder(many, func(ov *v1alpha1.OrderVoucher) { ov.Spec.Notifications[7].Reply = nil }), full(), "m7"},
		"full of what would be owed":  {newOrder(many), full(), "m0"},
	} {
		status := v1alpha1.OrderVoucherStatus{Answers: answersTo(test.answers...)}
		waits(wantsARefund, 0)(test.ov)
		test.ov.Spec.Notifications[len(test.ov.Spec.Notifications)-1].ID = "new"
		recordAnswers(test.ov, &status, seenOrder{owed: []owed{newest}}, noon)
		recordAnswers(test.ov, &status, seenOrder{owed: []owed{newest}}, noon)
		var got []string
		for _, answer := range status.Answers {
			got = append(got, answer.NotificationID)
		}
		want := append(slices.DeleteFunc(slices.Clone(test.answers), func(id string) bool { return id == test.dropped }), "new")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: want -, got +:\n%s", name, diff)
		}
	}
}

func TestPolicysDecision(t *testing.T) {
	code := func(id string, used, refunded int64) v1alpha1.Code {
		return v1alpha1.Code{ID: id, Persons: ptr.To[int64](1), Used: &used, Refunded: &refunded}
	}
	about := func(ids ...string) order.Debt {
		debt := order.Debt{}
		for _, id := range ids {
			debt.Codes = append(debt.Codes, v1alpha1.Code{ID: id})
		}
		return debt
	}
	answer := func(codes ...v1alpha1.Code) *order.Answer { return &order.Answer{State: order.Issued, Codes: codes} }
	yes, no := ptr.To(true), ptr.To(false)
	twice := code("a", 1, 0)
	twice.Persons = ptr.To[int64](2)
	for name, test := range map[string]struct {
		debt   order.Debt
		answer *order.Answer
		want   *bool
	}{
		"unused":                         {about("a"), answer(code("a", 0, 0), code("b", 1, 0)), yes},
		"all unused":                     {about("a", "b"), answer(code("a", 0, 0), code("b", 0, 0)), yes},
		"used":                           {about("b"), answer(code("a", 0, 0), code("b", 1, 0)), no},
		"all used":                       {about("a", "b"), answer(code("a", 1, 0), code("b", 1, 0)), no},
		"mixed":                          {about("a", "b"), answer(code("a", 0, 0), code("b", 1, 0)), nil},
		"half used":                      {about("a"), answer(twice), nil},
		"refunded":                       {about("a"), answer(code("a", 0, 1)), nil},
		"use not told":                   {about("a"), answer(v1alpha1.Code{ID: "a"}), nil},
		"another code":                   {about("a"), answer(code("b", 0, 0)), nil},
		"one code unknown":               {about("a", "x"), answer(code("a", 0, 0)), nil},
		"names no code":                  {about(), answer(code("a", 0, 0)), nil},
		"never issued":                   {about("a"), paidOrder(), yes},
		"never issued, says who":         {about("a"), &order.Answer{State: order.Other}, nil},
		"none to be seen in an open one": {about("a"), &order.Answer{State: order.Issued}, nil},
	} {
		if got := policysDecision(test.debt, test.answer); !ptr.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, ptr.Deref(got, false), test.want)
		}
	}
}

func TestSooner(t *testing.T) {
	for name, test := range map[string]struct{ a, b, want again }{
		"never, and a look":          {again{}, again{after: time.Minute}, again{after: time.Minute}},
		"never, and one put off":     {again{}, again{after: time.Minute, putOff: true}, again{after: time.Minute, putOff: true}},
		"the first":                  {again{after: time.Minute}, again{after: time.Hour}, again{after: time.Minute}},
		"the second":                 {again{after: time.Hour}, again{after: time.Minute}, again{after: time.Minute}},
		"failing is bounded":         {again{after: time.Hour}, again{failing: true, urgent: true}, again{after: time.Hour, failing: true, urgent: true}},
		"failing bounds":             {again{failing: true}, again{after: time.Hour}, again{after: time.Hour, failing: true}},
		"put off, and failing":       {again{after: time.Minute, putOff: true}, again{after: time.Hour, failing: true}, again{after: time.Minute, failing: true}},
		"a look, and never, failing": {again{after: time.Minute, failing: true}, again{}, again{after: time.Minute, failing: true}},
	} {
		if got := sooner(test.a, test.b); got != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestLookComesWhenSomethingChanges, not a fifth later, and before others.
func TestLookComesWhenSomethingChanges(t *testing.T) {
	l := newLooks(noon)
	for name, test := range map[string]struct {
		next again
		want time.Duration
	}{
		"sooner by itself":   {again{after: time.Second, notLater: time.Hour, deadline: true}, time.Second * 6 / 5},
		"not a moment later": {again{after: time.Minute, notLater: time.Minute, deadline: true}, time.Minute},
		"else never":         {again{notLater: time.Minute, deadline: true}, time.Minute},
	} {
		got := l.result(anyKey, test.next)
		if got.RequeueAfter > test.want || got.RequeueAfter < test.want*4/5 || got.Priority == nil || *got.Priority != deadlinePriority {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if deadlinePriority <= 0 || handler.LowPriority >= 0 {
		t.Error("what has a deadline does not outrank pushes, or they do not outrank resyncs")
	}
}

// TestTriesBeforeADeadline: a platform that is down is tried several times before it, the
// last time shortly before, and no more often than makes sense.
func TestTriesBeforeADeadline(t *testing.T) {
	for _, minutes := range []int{1, 10, 24 * 60} {
		ov, now := newOrder(waits(wantsSomeCodes, 0, minutes)), noon
		l := newLooks(noon)
		var tries []time.Time
		for now.Before(minute(minutes)) {
			tries = append(tries, now)
			status, next := decideOrder(ov, seenOrder{asked: true, answer: paidOrder(),
				owed: []owed{{Debt: order.Debt{NotificationID: "m0"}, err: errDown}}}, now)
			ov.Status = status
			now = now.Add(l.result(anyKey, next).RequeueAfter)
		}
		if now.After(minute(minutes).Add(5*time.Second)) || len(tries) < 6 || len(tries) > 200 {
			t.Errorf("%d tries in %d minutes, then one %s after the deadline", len(tries), minutes, now.Sub(minute(minutes)))
		}
		if last := minute(minutes).Sub(tries[len(tries)-1]); last > 10*time.Second {
			t.Errorf("%d minutes: the last try came %s before the deadline", minutes, last)
		}
	}
}

func TestOwesInTime(t *testing.T) {
	for name, test := range map[string]struct {
		ov   *v1alpha1.OrderVoucher
		want bool
	}{
		"nothing":                {newOrder(told(v1alpha1.NotificationPaid, 0)), false},
		"with a deadline":        {newOrder(waits(wantsSomeCodes, -1, 10)), true},
		"without":                {newOrder(waits(wantsARefund, -1)), false},
		"missed":                 {newOrder(waits(wantsSomeCodes, -20, -10)), false},
		"one is missed":          {newOrder(waits(wantsSomeCodes, -20, -10), waits(wantsARefund, -20, 10)), true},
		"given, another without": {newOrder(waits(wantsSomeCodes, -1, 10), waits(wantsARefund, -1), func(ov *v1alpha1.OrderVoucher) { ov.Status.Answers = answersTo("m0") }), false},
		"given":                  {newOrder(waits(wantsSomeCodes, -1, 10), func(ov *v1alpha1.OrderVoucher) { ov.Status.Answers = answersTo("m0") }), false},
	} {
		if got := owesInTime(test.ov, noon); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestAnswersOverTime walks orders that owe answers through requests, looks of all
// outcomes and time, and checks what always holds.
func TestAnswersOverTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ov, now := newOrder(), noon
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 3600).Draw(t, "seconds")) * time.Second)
			if rapid.Bool().Draw(t, "asks") {
				var until []int
				since := int(now.Sub(noon).Minutes())
				if rapid.Bool().Draw(t, "has a deadline") {
					until = append(until, since+rapid.IntRange(1, 100).Draw(t, "deadline"))
				}
				waits(rapid.SampledFrom([]v1alpha1.NotificationType{wantsSomeCodes, wantsARefund, wantsARefund}).Draw(t, "kind"), since, until...)(ov)
			}
			lookAtDebts(t, ov, now)
		}
	})
}

func lookAtDebts(t *rapid.T, ov *v1alpha1.OrderVoucher, now time.Time) {
	seen := seenOrder{asked: true}
	switch rapid.SampledFrom([]string{"answered", "answered", "error", "not asked"}).Draw(t, "outcome") {
	case "answered":
		var open []string
		for _, n := range ov.Spec.Notifications {
			if n.Refund != nil && rapid.Bool().Draw(t, "open") {
				open = append(open, n.Refund.ID)
			}
		}
		seen.answer = listing(open...)
	case "error":
		seen.err = rapid.SampledFrom(allErrors[1:]).Draw(t, "error")
	case "not asked":
		seen.notAsked = &conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonChannelNotReady, Message: "no"}
	}
	if seen.notAsked == nil && !refusesAccount(seen.err) {
		for _, debt := range owedNow(ov, &seen) {
			seen.owed = append(seen.owed, drawOutcome(t, debt))
		}
	}
	took := slices.ContainsFunc(seen.owed, func(o owed) bool { return o.result != "" })
	seen.stale = took && seen.answer != nil && rapid.Bool().Draw(t, "stale")
	status, next := decideOrder(ov, seen, now)
	checkDebts(t, ov, seen, status, next, now)
	ov.Status = status
	if again, _ := decideOrder(ov, seen, now); !cmp.Equal(status, again) {
		t.Errorf("the same look again is a write: %s", cmp.Diff(status, again))
	}
}

func drawOutcome(t *rapid.T, debt order.Debt) owed {
	one := owed{Debt: debt}
	switch rapid.SampledFrom([]string{"taken", "missing", "failed", "not tried"}).Draw(t, "what came of it") {
	case "taken":
		if one.result = v1alpha1.ResultIssued; debt.Kind == order.DebtRefund {
			one.result = rapid.SampledFrom([]v1alpha1.Result{v1alpha1.ResultApproved, v1alpha1.ResultRefused}).Draw(t, "result")
		}
	case "missing":
		one.missing = &missing{v1alpha1.ReasonDecisionNeeded, "decide"}
	case "failed":
		one.err = rapid.SampledFrom(allErrors[1:]).Draw(t, "failure")
	}
	return one
}

func checkDebts(t *rapid.T, ov *v1alpha1.OrderVoucher, seen seenOrder, status v1alpha1.OrderVoucherStatus, next again, now time.Time) {
	if len(status.Conditions) > 0 {
		if err := conditions.Check(status.Conditions, ov.Generation, status.ObservedGeneration); err != nil {
			t.Errorf("conditions: %v", err)
		}
	}
	left := outstanding(ov, status, seen)
	for _, one := range seen.owed {
		if one.result != "" && !isAnswered(status.Answers, one.NotificationID) {
			t.Errorf("what the platform took is forgotten: %+v", one)
		}
		if slices.ContainsFunc(left, func(o owed) bool { return o.NotificationID == one.NotificationID }) && one.result != "" {
			t.Errorf("what the platform took is owed still: %+v", one)
		}
	}
	if len(left) > 0 && ready(status.Conditions) {
		t.Errorf("Ready, and owes %+v", left)
	}
	if len(left) > 0 && next.after <= 0 && !next.failing {
		t.Errorf("owes %+v, and is never looked at", left)
	}
	coming := false
	for _, one := range left {
		if !one.Deadline.After(now) {
			continue
		}
		coming = true
		if one.err != nil && next.after >= one.Deadline.Sub(now) && next.after > firstRetry {
			t.Errorf("the next try comes after the deadline: %+v, %+v", next, one)
		}
	}
	atRisk := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionAtRisk)
	if coming != (next.notLater > 0) || coming != next.deadline || atRisk && status.Deadline == nil {
		t.Errorf("deadlines to come %v, next %+v, at risk %v, deadline %v", coming, next, atRisk, status.Deadline)
	}
	if missed := status.Deadline != nil && !status.Deadline.After(now); missed && !atRisk {
		t.Error("a deadline was missed, and nothing is at risk")
	}
}

// TestToldErrorsShowNoCodes, whatever the platform says to them.
func TestToldErrorsShowNoCodes(t *testing.T) {
	texts := codesOf("alpha-beta", "gamma")
	err := without(&platform.Error{Kind: platform.Refused, Op: "issue", Code: "7", Text: "alpha-beta and gamma are taken"}, texts)
	if text := err.Error(); strings.Contains(text, "alpha") || strings.Contains(text, "gamma") || !strings.Contains(text, "taken") || platform.KindOf(err) != platform.Refused {
		t.Error(text)
	}
	if plain := errors.New("dial"); !errors.Is(without(plain, texts), plain) || without(nil, texts) != nil {
		t.Error("an error of another kind is not the same")
	}
}

// The policy does not count a code as unused that was pushed as used, whatever the
// platform's answer says so far.
func TestUseDoubted(t *testing.T) {
	code := func(used int64) v1alpha1.Code { return v1alpha1.Code{ID: "a", Hint: "A•••", Used: &used} }
	push := func(kind v1alpha1.NotificationType) v1alpha1.Notification {
		return v1alpha1.Notification{ID: "m", Type: kind, PlatformType: "p", Codes: []v1alpha1.Code{{ID: "a", Hint: "A•••"}}}
	}
	for name, test := range map[string]struct {
		pushed v1alpha1.Notification
		answer v1alpha1.Code
		want   bool
	}{
		"used, and not shown":               {push(v1alpha1.NotificationCodeUsed), code(0), true},
		"used, and shown":                   {push(v1alpha1.NotificationCodeUsed), code(1), false},
		"its end, and not shown":            {push(v1alpha1.NotificationCodeUseCancelled), code(1), true},
		"its end, and shown":                {push(v1alpha1.NotificationCodeUseCancelled), code(0), false},
		"another claim that is not shown":   {push(v1alpha1.NotificationRefundRequested), code(0), false},
		"a refund pushed that is not shown": {push(v1alpha1.NotificationRefunded), code(0), false},
	} {
		ov := &v1alpha1.OrderVoucher{Spec: v1alpha1.OrderVoucherSpec{Notifications: []v1alpha1.Notification{test.pushed}}}
		if got := useDoubted(ov, &order.Answer{State: order.Issued, Codes: []v1alpha1.Code{test.answer}}); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A decision answers one request: asked for again, the same refund waits for another.
func TestPersonsDecision(t *testing.T) {
	request := func(id string) v1alpha1.Notification {
		return v1alpha1.Notification{ID: id, Type: v1alpha1.NotificationRefundRequested, Refund: &v1alpha1.NotifiedRefund{ID: "r"}}
	}
	debt := order.Debt{Kind: order.DebtRefund, NotificationID: "second", RefundID: "r"}
	before := []v1alpha1.OrderAnswer{{NotificationID: "first", Result: v1alpha1.ResultRefused}}
	for name, test := range map[string]struct {
		decision v1alpha1.RefundDecision
		answers  []v1alpha1.OrderAnswer
		decided  bool
	}{
		"for this refund":               {v1alpha1.RefundDecision{RefundID: "r"}, nil, true},
		"for another":                   {v1alpha1.RefundDecision{RefundID: "s"}, nil, false},
		"it answered the first":         {v1alpha1.RefundDecision{RefundID: "r"}, before, false},
		"for the second by name":        {v1alpha1.RefundDecision{RefundID: "r", NotificationID: "second"}, before, true},
		"for the first by name":         {v1alpha1.RefundDecision{RefundID: "r", NotificationID: "first"}, nil, false},
		"another refund was answered":   {v1alpha1.RefundDecision{RefundID: "r"}, []v1alpha1.OrderAnswer{{NotificationID: "third"}}, true},
		"this request was answered too": {v1alpha1.RefundDecision{RefundID: "r"}, []v1alpha1.OrderAnswer{{NotificationID: "second"}}, true},
	} {
		ov := &v1alpha1.OrderVoucher{Spec: v1alpha1.OrderVoucherSpec{RefundDecisions: []v1alpha1.RefundDecision{test.decision},
			Notifications: []v1alpha1.Notification{request("first"), request("second")}}, Status: v1alpha1.OrderVoucherStatus{Answers: test.answers}}
		if approve, _ := personsDecision(ov, debt); (approve != nil) != test.decided {
			t.Errorf("%s: decided %v", name, approve != nil)
		}
	}
}
