package order

import (
	"cmp"
	"slices"
	"time"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// DebtKind is what kind of answer is owed.
type DebtKind string

// The kinds of debts.
const (
	// DebtCodes: the platform waits for the codes of an order.
	DebtCodes DebtKind = "Codes"
	// DebtRefund: the platform waits for a decision on a refund request.
	DebtRefund DebtKind = "Refund"
)

// Debt is an answer that is owed to the platform: its push was told to wait.
type Debt struct {
	Kind DebtKind
	// NotificationID and PlatformType of the push that asks.
	NotificationID, PlatformType string
	// RefundID is the platform's id of the refund; empty for codes, and where it gives none.
	RefundID string
	// Codes are the units that codes are wanted for, in the platform's order, or the codes
	// that the refund is about; empty where the push names none.
	Codes []v1alpha1.Code
	// Since is when the push was received.
	Since time.Time
	// Deadline is when the platform gives up waiting; zero if it says no such time.
	Deadline time.Time
}

// Owed are the answers that are owed, the most urgent first: by deadline, those without
// one last, then by notification. Not owed any more is what status.answers has; what the
// platform has decided, as pushes or a confirmed status tell; and what an order that is
// refunded, cancelled or failed would have needed.
//
//	codes   of the newest request, unless codes were pushed no earlier than it came, or the
//	        platform's answer shows any issued
//	refund  of the newest request for each refund, unless it is decided, or every code that
//	        it names is refunded
func Owed(spec v1alpha1.OrderVoucherSpec, status v1alpha1.OrderVoucherStatus) []Debt {
	switch status.Phase {
	case v1alpha1.OrderRefunded, v1alpha1.OrderCancelled, v1alpha1.OrderFailed:
		return nil
	}
	told := read(spec.Notifications, status.Answers)
	shown := view{}
	if status.Confirmed != nil {
		shown = look(&Answer{Codes: status.Codes})
	}
	var debts []Debt
	if told.owesCodes(shown) {
		debts = append(debts, debtOf(DebtCodes, told.wanted))
	}
	for _, r := range told.sortedRefunds() {
		if r.undecided() && r.reply == v1alpha1.ResultPending && !decidedRefund(status.Refunds, r.id) && !shown.refundsCodes(r.requested) {
			debt := debtOf(DebtRefund, r.requested)
			debt.RefundID = r.id
			debts = append(debts, debt)
		}
	}
	slices.SortStableFunc(debts, func(a, b Debt) int {
		return cmp.Or(cmp.Compare(rank(a.Deadline.IsZero()), rank(b.Deadline.IsZero())), a.Deadline.Compare(b.Deadline),
			cmp.Compare(a.NotificationID, b.NotificationID))
	})
	return debts
}

func (p *pushed) owesCodes(shown view) bool {
	if p.wanted == nil || p.wantedReply != v1alpha1.ResultPending {
		return false
	}
	issued := issuing(p.issue) == issueDone && occurred(p.issue) >= occurred(p.wanted)
	return !issued && (shown.Answer == nil || !slices.ContainsFunc(shown.Codes, isIssued))
}

func decidedRefund(refunds []v1alpha1.Refund, id string) bool {
	return id != "" && slices.ContainsFunc(refunds, func(r v1alpha1.Refund) bool { return r.ID == id && r.Succeeded != nil })
}

func debtOf(kind DebtKind, n *v1alpha1.Notification) Debt {
	debt := Debt{Kind: kind, NotificationID: n.ID, PlatformType: n.PlatformType, Codes: n.Codes, Since: n.ReceivedAt.Time}
	if n.Deadline != nil {
		debt.Deadline = n.Deadline.Time
	}
	return debt
}
