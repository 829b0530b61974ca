package order

import (
	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// Bounds of the lists in a status; the API's.
const (
	maxCodes   = 500
	maxRefunds = 64
)

// State is the platform's state of an order. It says nothing of use and refunds,
// which are counted. The values are those of platform.OrderState.
type State string

// The states of an order.
const (
	Pending   State = "Pending"
	Paid      State = "Paid"
	Issued    State = "Issued"
	Failed    State = "Failed"
	Finished  State = "Finished"
	Cancelled State = "Cancelled"
	// Other is a state that is not understood; it tells nothing.
	Other State = "Other"
)

// RefundState is the platform's state of an order's refunds as a whole; "" is unknown.
// The values are those of platform.RefundState.
type RefundState string

// The states of refunds.
const (
	RefundNone      RefundState = "None"
	RefundRequested RefundState = "Requested"
	RefundPartly    RefundState = "Partly"
	RefundFull      RefundState = "Full"
	RefundFailed    RefundState = "Failed"
)

// Answer is what the platform said when asked, codes hashed and masked.
type Answer struct {
	State State
	// PlatformStatus is the platform's own word for it; the fold does not read it.
	PlatformStatus string
	RefundState    RefundState
	// Refunded in all, as the order itself tells it; nil if it does not.
	Refunded *v1alpha1.Money
	// RefundedQuantity of the Quantity ordered; nil if not told.
	RefundedQuantity, Quantity *int64
	// Currency (ISO 4217) in which nothing refunded is written as zero.
	Currency string
	// Codes in the platform's order. A count that is nil was not told.
	Codes []v1alpha1.Code
	// Refunds one by one, where they were asked for.
	Refunds []v1alpha1.Refund
}

// Evidence is what the fold may believe.
type Evidence struct {
	// Answer of the platform; nil if it was not asked yet or cannot be.
	Answer *Answer
	// Trusted: the platform has no query and every push is proven, so pushes alone
	// decide. An Answer is believed over it.
	Trusted bool
	// Given is what the platform was told later than in the reply to its push.
	Given []v1alpha1.OrderAnswer
}

// Outcome is what an order has come to.
type Outcome struct {
	// Status has Phase, Summary, Codes, Refunds and Totals; the rest is the caller's.
	Status v1alpha1.OrderVoucherStatus
	// Unconfirmed is what pushes claim and the Answer does not show: at most one claim
	// a notification, by notification id. Empty without an Answer.
	Unconfirmed []Claim
	// Final: nothing more is expected of this order, and nothing is unconfirmed.
	Final bool
}

// Claim is what one notification says and the Answer does not show.
type Claim struct {
	NotificationID string
	// Text for people, such as "ORDER_REFUND_NOTIFY says 123.45 CNY refunded".
	Text string
}

// Fold folds the notifications, in any order and repeated or not, and the evidence.
func Fold(notifications []v1alpha1.Notification, evidence Evidence) Outcome {
	told := read(notifications, evidence.Given)
	if evidence.Answer == nil {
		seen := look(told.answer(evidence.Trusted))
		return settle(told, seen, told.awaits(seen) || told.onlyAnnounced(), nil)
	}
	seen := look(evidence.Answer)
	return settle(told, seen, told.awaits(seen), unconfirmed(told, seen))
}

// settle writes down what is seen, and the pushed requests that still stand beside it.
func settle(told pushed, seen view, awaited bool, doubts []Claim) Outcome {
	refunds := append(seen.listedRefunds(), told.standing(seen)...)
	requested := seen.refundRequested(refunds)
	phase := seen.phase(requested, awaited, told.lifecycle())
	return Outcome{
		Status: v1alpha1.OrderVoucherStatus{
			Phase:   phase,
			Summary: summary(len(seen.Codes), seen.totals),
			Codes:   seen.listedCodes(),
			Refunds: newestRefunds(refunds),
			Totals:  seen.totals,
		},
		Unconfirmed: doubts,
		Final:       seen.over(phase, requested) && len(doubts) == 0,
	}
}

// AsksForRefunds reports whether the platform should be asked for the list of refunds
// too: a refund or a request for one was pushed, or the order is known to have one.
func AsksForRefunds(notifications []v1alpha1.Notification, previous v1alpha1.OrderVoucherStatus) bool {
	switch previous.Phase {
	case v1alpha1.OrderRefundRequested, v1alpha1.OrderPartlyRefunded, v1alpha1.OrderRefunded:
		return true
	}
	paidBack := previous.Totals.RefundedAmount
	return len(previous.Refunds) > 0 ||
		previous.Totals.Refunded > 0 ||
		paidBack != nil && paidBack.Amount > 0 ||
		len(read(notifications, nil).refunds) > 0
}
