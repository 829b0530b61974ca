package controllers

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// maxAnswers is how many answers a status holds (the schema's bound).
const maxAnswers = 64

// recordAnswers adds to the status what the platform took.
func recordAnswers(ov *v1alpha1.OrderVoucher, status *v1alpha1.OrderVoucherStatus, seen seenOrder, now time.Time) {
	for _, one := range seen.owed {
		if one.result != "" && !isAnswered(status.Answers, one.NotificationID) {
			status.Answers = append(status.Answers, v1alpha1.OrderAnswer{NotificationID: one.NotificationID, Result: one.result, At: *stamp(now)})
		}
	}
	for len(status.Answers) > maxAnswers {
		i := dispensable(ov, *status)
		status.Answers = slices.Delete(status.Answers, i, i+1)
	}
}

// dispensable is the oldest answer whose notification is gone; else the oldest without
// which nothing would be owed that is not; else the oldest.
func dispensable(ov *v1alpha1.OrderVoucher, status v1alpha1.OrderVoucherStatus) int {
	gone := slices.IndexFunc(status.Answers, func(a v1alpha1.OrderAnswer) bool {
		return !slices.ContainsFunc(ov.Spec.Notifications, func(n v1alpha1.Notification) bool { return n.ID == a.NotificationID })
	})
	if gone >= 0 {
		return gone
	}
	known := len(order.Owed(ov.Spec, status))
	all := status.Answers
	for i := range all {
		status.Answers = slices.Delete(slices.Clone(all), i, i+1)
		if len(order.Owed(ov.Spec, status)) == known {
			return i
		}
	}
	return 0
}

// outstanding are the answers that are owed still, with what the look made of each.
func outstanding(ov *v1alpha1.OrderVoucher, status v1alpha1.OrderVoucherStatus, seen seenOrder) []owed {
	if seen.mute {
		return nil
	}
	var left []owed
	for _, debt := range owedAfter(ov, status, &seen) {
		one := owed{Debt: debt}
		for _, tried := range seen.owed {
			if tried.NotificationID == debt.NotificationID {
				one.missing, one.err = tried.missing, tried.err
			}
		}
		left = append(left, one)
	}
	return left
}

// owedVerdict puts what is owed over the verdict on the order itself: the most urgent that
// has something to tell.
func owedVerdict(ov *v1alpha1.OrderVoucher, left []owed, verdict *conditions.Verdict, next again, now time.Time) (*conditions.Verdict, again) {
	overlaid := false
	for _, one := range left {
		own, soon := one.verdict(ov, now)
		next = sooner(next, soon)
		if own != nil && !overlaid {
			verdict, overlaid = own, true
		}
	}
	if len(left) > 0 && verdict != nil && verdict.State == conditions.Ready {
		verdict = &conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing, Message: awaited(left[0].Debt)}
	}
	return verdict, next
}

// verdict on one answer that is owed, nil where it was not told yet for a reason that the
// order itself tells; and when to look again.
func (o owed) verdict(ov *v1alpha1.OrderVoucher, now time.Time) (*conditions.Verdict, again) {
	slow := growing(now.Sub(o.Since), firstOrderLook, slowestOrderLook)
	switch {
	case o.missing != nil: // what somebody gives wakes the order by itself
		return &conditions.Verdict{State: conditions.Waiting, Reason: o.missing.reason, Message: o.missing.message}, again{after: slow}
	case o.err == nil:
		return nil, o.inTime(again{after: slow}, now)
	}
	subject := wanted(o.Debt) + " of order " + ov.Spec.OrderID
	verdict, next := verdictOf(o.err, subject, slowestOrderLook)
	if kind := platform.KindOf(o.err); answered(o.err) && !refusesAccount(o.err) {
		verdict = conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonAnswerFailed,
			Message: fmt.Sprintf("the platform did not take %s (%v); correct what it names, or settle it on the platform", subject, o.err)}
		if next = (again{after: slow}); kind == platform.Refused {
			verdict.State = conditions.Stalled
		}
	}
	return &verdict, o.inTime(next, now)
}

// inTime shortens a gap so that several tries come before the deadline. What was missed
// is not urgent any more.
func (o owed) inTime(next again, now time.Time) again {
	left := o.Deadline.Sub(now)
	switch {
	case o.Deadline.IsZero():
	case left <= 0:
		next.urgent = false
	default:
		next = sooner(next, again{after: max(left/4, firstRetry), failing: next.failing, putOff: next.putOff, urgent: next.urgent})
	}
	return next
}

// sooner joins two looks that are to come into the one that suits both.
func sooner(a, b again) again {
	if a == (again{}) {
		return b
	}
	joined := again{after: a.after, failing: a.failing || b.failing, putOff: a.putOff && b.putOff, urgent: a.urgent || b.urgent}
	if a.after <= 0 || b.after > 0 && b.after < a.after {
		joined.after = b.after
	}
	return joined
}

// earliest is the first deadline of what is owed; nil if nothing has one.
func earliest(left []owed) *metav1.Time {
	for _, one := range left { // those with a deadline come first, by deadline
		if !one.Deadline.IsZero() {
			return stamp(one.Deadline)
		}
	}
	return nil
}

// riskOf says whether an answer may not reach the platform in time: less than half of the
// time from the push to the deadline is left, or the last try failed. hindrance is why
// nothing is told now, nil if it is. changes is when that will be another, if nothing
// happens; zero if never.
func riskOf(left []owed, hindrance *conditions.Verdict, now time.Time) (risk *conditions.Risk, changes time.Time) {
	for _, one := range left {
		if one.Deadline.IsZero() {
			continue
		}
		half := one.Deadline.Add(-one.Deadline.Sub(one.Since) / 2)
		for _, moment := range []time.Time{half, one.Deadline} {
			if moment.After(now) && (changes.IsZero() || moment.Before(changes)) {
				changes = moment
			}
		}
		if risk == nil {
			risk = one.risk(half, hindrance, now)
		}
	}
	return risk, changes
}

func (o owed) risk(half time.Time, hindrance *conditions.Verdict, now time.Time) *conditions.Risk {
	switch {
	case !now.Before(o.Deadline):
		return &conditions.Risk{Reason: v1alpha1.ReasonDeadlineMissed, Message: fmt.Sprintf("the platform waited for %s until %s",
			wanted(o.Debt), o.Deadline.UTC().Format(time.RFC3339))}
	case o.err != nil:
		return &conditions.Risk{Reason: v1alpha1.ReasonAnswerFailed, Message: awaited(o.Debt) + ", and the last try to tell it failed"}
	case now.Before(half):
		return nil
	case hindrance != nil:
		return &conditions.Risk{Reason: hindrance.Reason, Message: awaited(o.Debt) + ": " + hindrance.Message}
	case o.missing != nil:
		return &conditions.Risk{Reason: o.missing.reason, Message: o.missing.message}
	}
	return &conditions.Risk{Reason: v1alpha1.ReasonAnswerFailed, Message: awaited(o.Debt) + ", and could not be told yet"}
}

// owesInTime reports whether an order owes an answer whose deadline is still to come: it
// is looked at before all others.
func owesInTime(ov *v1alpha1.OrderVoucher, now time.Time) bool {
	asks := slices.ContainsFunc(ov.Spec.Notifications, func(n v1alpha1.Notification) bool {
		return n.Deadline != nil && now.Before(n.Deadline.Time) && n.Reply != nil && n.Reply.Result == v1alpha1.ResultPending
	})
	return asks && slices.ContainsFunc(order.Owed(ov.Spec, ov.Status), func(debt order.Debt) bool {
		return now.Before(debt.Deadline)
	})
}
