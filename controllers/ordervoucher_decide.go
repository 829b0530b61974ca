package controllers

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// maxClaimsShown is how many unconfirmed claims a condition names.
const maxClaimsShown = 3

// maxReason is how many characters of a platform's text a refund holds (the schema's bound).
const maxReason = 512

// decideOrder is pure: what was seen to the whole status, and when to look again.
func decideOrder(ov *v1alpha1.OrderVoucher, seen seenOrder, now time.Time) (v1alpha1.OrderVoucherStatus, again) {
	if seen.loading {
		return ov.Status, again{after: slowestOrderLook, failing: true, urgent: true, deadline: owesInTime(ov, now)}
	}
	status := *ov.Status.DeepCopy()
	status.ObservedGeneration = ov.Generation
	recordAnswers(ov, &status, seen, now)
	verdict, next := orderVerdict(ov, &status, seen, now)
	left := outstanding(ov, status, seen)
	if briefly(seen.err) && len(seen.owed) == 0 && len(left) == 0 {
		return ov.Status, inAMoment
	}
	if seen.notAsked == nil && !refusesAccount(seen.err) {
		verdict, next = owedVerdict(ov, left, verdict, next, now)
	}
	if verdict == nil {
		verdict = standing(ov.Status.Conditions)
	}
	if seen.stale {
		verdict, next = staleVerdict(verdict), sooner(next, again{failing: true, urgent: true})
	}
	status.Conditions = conditions.Set(status.Conditions, keepWords(ov.Status.Conditions, *verdict), ov.Generation, now)
	next = weighRisk(ov, &status, left, seen.notAsked, next, now)
	if seen.asked && seen.notAsked == nil && answered(seen.err) {
		status.LastHandledRequestedAt = cutRequest(ov.Annotations[v1alpha1.AnnotationRequestedAt])
	}
	if status.Confirmed != nil && !equality.Semantic.DeepEqual(ov.Status, status) && seen.answer != nil {
		status.Confirmed.At = *stamp(now)
	}
	return status, next
}

// staleVerdict is that of an order of which the platform took an answer, and did not say
// since what it is: it is asked again soon.
func staleVerdict(verdict *conditions.Verdict) *conditions.Verdict {
	if verdict.State != conditions.Ready {
		return verdict
	}
	return &conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing,
		Message: "the platform took an answer, and is to be asked what the order is since"}
}

// weighRisk writes whether an answer is at risk not to come in time, and has the order
// looked at when that changes.
func weighRisk(ov *v1alpha1.OrderVoucher, status *v1alpha1.OrderVoucherStatus, left []owed, hindrance *conditions.Verdict, next again, now time.Time) again {
	status.Deadline = earliest(left)
	risk, changes := riskOf(left, hindrance, now)
	status.Conditions = conditions.SetAtRisk(status.Conditions, risk, ov.Generation, now)
	if !changes.IsZero() {
		next.notLater, next.deadline = changes.Sub(now), true
	}
	return next
}

// orderVerdict judges what was seen and writes the fold into the status. A nil verdict
// leaves the conditions as they are.
func orderVerdict(ov *v1alpha1.OrderVoucher, status *v1alpha1.OrderVoucherStatus, seen seenOrder, now time.Time) (*conditions.Verdict, again) {
	switch {
	case !seen.asked && (seen.notAsked == nil || !seen.stopped):
		if seen.due.IsZero() {
			return nil, again{}
		}
		return nil, again{after: max(seen.due.Sub(now), time.Second)}
	case seen.pushesDecide:
		fill(status, order.Fold(ov.Spec.Notifications, order.Evidence{Trusted: true, Given: status.Answers}))
		return pushedVerdict(ov), again{} // a push wakes it
	case seen.answer != nil:
		return confirmedVerdict(ov, status, seen, now)
	}
	switch {
	case !orderHasNews(ov) && seen.notAsked != nil && !seen.stopped:
		return nil, again{after: slowestOrderLook}
	case !orderHasNews(ov) && !answered(seen.err):
		return nil, again{after: slowestOrderLook, failing: true}
	}
	// Not answered: what the platform confirmed, or proven pushes said, stays; without
	// that, what pushes alone may say is shown. Where neither was asked nor pushed anything
	// since, the status stays too: it may be of pushes that decided, and still would.
	nothingNew := seen.notAsked != nil && ov.Generation == ov.Status.ObservedGeneration
	if ov.Status.Confirmed == nil && !proven(ov.Status.Phase) && !nothingNew {
		fill(status, order.Fold(ov.Spec.Notifications, order.Evidence{Given: status.Answers}))
	}
	if seen.notAsked != nil {
		return seen.notAsked, again{after: slowestOrderLook}
	}
	slow := slowestOrderLook
	if platform.KindOf(seen.err) == platform.Gone {
		slow = growing(waited(ov.Status.Conditions, v1alpha1.ReasonNotFound, now), firstSlowLook, slowestOrderLook)
	}
	verdict, next := verdictOf(seen.err, "order "+ov.Spec.OrderID, slow)
	return &verdict, next
}

// pushedVerdict is that of an order of which there is only what was pushed.
func pushedVerdict(ov *v1alpha1.OrderVoucher) *conditions.Verdict {
	if len(ov.Spec.Notifications) == 0 {
		return &conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing,
			Message: "nothing was pushed about this order yet, and the platform offers no query"}
	}
	return &conditions.Verdict{State: conditions.Ready, Reason: v1alpha1.ReasonNotConfirmable,
		Message: "the platform offers no query for orders: this is what it pushed"}
}

// proven reports whether pushes alone, unproven, never give the phase.
func proven(phase v1alpha1.OrderPhase) bool {
	switch phase {
	case v1alpha1.OrderFailed, v1alpha1.OrderCancelled, v1alpha1.OrderRefunded,
		v1alpha1.OrderPartlyRefunded, v1alpha1.OrderUsed, v1alpha1.OrderPartlyUsed:
		return true
	}
	return false
}

// confirmedVerdict folds the answer in. What was pushed and the answer does not show is
// not Ready, and is asked about again, with gaps that grow.
func confirmedVerdict(ov *v1alpha1.OrderVoucher, status *v1alpha1.OrderVoucherStatus, seen seenOrder, now time.Time) (*conditions.Verdict, again) {
	outcome := order.Fold(ov.Spec.Notifications, order.Evidence{Answer: seen.answer, Given: status.Answers})
	fill(status, outcome)
	at := *stamp(now)
	if ov.Status.Confirmed != nil {
		at = ov.Status.Confirmed.At
	}
	status.Confirmed = &v1alpha1.OrderConfirmation{At: at, PlatformStatus: seen.answer.PlatformStatus}
	if len(outcome.Unconfirmed) > 0 {
		gap := growing(now.Sub(newestWord(ov, status)), firstDoubt, slowestOrderLook)
		return &conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonNotConfirmed,
			Message: "the platform's answer does not show what was pushed: " + claims(outcome.Unconfirmed)}, again{after: gap}
	}
	verdict := &conditions.Verdict{State: conditions.Ready, Reason: v1alpha1.ReasonConfirmed}
	if outcome.Final {
		return verdict, again{}
	}
	return verdict, again{after: growing(now.Sub(at.Time), firstOrderLook, slowestOrderLook)}
}

func claims(unconfirmed []order.Claim) string {
	texts := make([]string, 0, maxClaimsShown+1)
	for _, claim := range unconfirmed[:min(len(unconfirmed), maxClaimsShown)] {
		texts = append(texts, fmt.Sprintf("%s (message %s)", claim.Text, claim.NotificationID))
	}
	if more := len(unconfirmed) - maxClaimsShown; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// fill takes from the fold what it decides.
func fill(status *v1alpha1.OrderVoucherStatus, outcome order.Outcome) {
	status.Phase = outcome.Status.Phase
	status.Summary = outcome.Status.Summary
	status.Codes = outcome.Status.Codes
	status.Refunds = outcome.Status.Refunds
	status.Totals = outcome.Status.Totals
}

func orderHasNews(ov *v1alpha1.OrderVoucher) bool {
	_, ready := conditions.Of(ov.Status.Conditions)
	return !ready || ov.Generation != ov.Status.ObservedGeneration
}

// newestReceived is when the newest notification was received; the object's own time if
// there is none.
func newestReceived(ov *v1alpha1.OrderVoucher) time.Time {
	newest := ov.CreationTimestamp.Time
	for _, n := range ov.Spec.Notifications {
		if n.ReceivedAt.After(newest) {
			newest = n.ReceivedAt.Time
		}
	}
	return newest
}

// newestWord is when the platform last told us, or took, something that its answer must
// show sooner or later.
func newestWord(ov *v1alpha1.OrderVoucher, status *v1alpha1.OrderVoucherStatus) time.Time {
	newest := newestReceived(ov)
	for _, answer := range status.Answers {
		if answer.At.After(newest) {
			newest = answer.At.Time
		}
	}
	return newest
}

func refundOf(fact platform.RefundFact, currency string, codes []sealing.Secret) v1alpha1.Refund {
	refund := v1alpha1.Refund{ID: fact.ID, Quantity: fact.Quantity, Succeeded: fact.Succeeded,
		Reason: sealing.Excerpt(fact.Reason, maxReason, codes...)}
	if fact.Amount != nil {
		refund.Amount = &v1alpha1.Money{Currency: currency, Amount: *fact.Amount}
	}
	if !fact.At.IsZero() {
		at := metav1.NewMicroTime(fact.At.UTC())
		refund.At = &at
	}
	return refund
}
