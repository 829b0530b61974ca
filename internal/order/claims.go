package order

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/money"
)

// Whether the answer shows what pushes claim. StatusChanged, Booking and Other claim
// nothing. An order that is over explains what is no longer to be seen.
//
//	claim             shown when the answer
//	paid              is not Pending, or lists codes
//	code issued       lists the code, or the order is over
//	codes issued      lists codes, is Issued, or the order is over (a push that names no code)
//	issue failed      is Failed, or codes were issued after all, or the order is over
//	code used N       counts N uses of the code, or is Finished without counting them
//	use cancelled     counts no more uses than are said to be left
//	cancelled         is Cancelled, Failed or refunded in full
//	refund paid       is refunded in full; lists that refund as paid; counts its codes as
//	                  refunded; or tells of refunds at least the sum of all that are claimed
//	refund failed     lists that refund as decided or, if it is not listed, has none requested
//	refund requested  lists that refund, has one requested, or has decided it
//
// Pushed requests stand beside the answer until either decides them, because a decision
// may be ours to make; other claims only make the caller ask again. A request that we
// refused stands no longer, and claims nothing: what the platform makes of a request that
// we approved is for its answer to show. That codes are requested claims nothing either.

// doubts gathers unconfirmed claims by the notification that makes them.
type doubts map[string]*doubt

type doubt struct {
	text string
	more int
}

func (d doubts) add(by *v1alpha1.Notification, format string, arguments ...any) {
	if known, ok := d[by.ID]; ok {
		known.more++
		return
	}
	d[by.ID] = &doubt{text: by.PlatformType + " says " + fmt.Sprintf(format, arguments...)}
}

func (d doubts) claims() []Claim {
	var claims []Claim
	for id, doubt := range d {
		text := doubt.text
		if doubt.more > 0 {
			text += fmt.Sprintf(", and %d more", doubt.more)
		}
		claims = append(claims, Claim{NotificationID: id, Text: text})
	}
	slices.SortFunc(claims, func(a, b Claim) int { return cmp.Compare(a.NotificationID, b.NotificationID) })
	return claims
}

// unconfirmed is what the pushes claim and the answer does not show.
func unconfirmed(told pushed, seen view) []Claim {
	d := doubts{}
	d.ofOrder(told, seen)
	d.ofCodes(told, seen)
	d.ofRefunds(told, seen)
	return d.claims()
}

func (d doubts) ofOrder(told pushed, seen view) {
	if told.paid != nil && seen.State == Pending && len(seen.Codes) == 0 {
		d.add(told.paid, "paid")
	}
	if told.cancelled != nil && !seen.undone() {
		d.add(told.cancelled, "cancelled")
	}
	if told.issue == nil || seen.issued() {
		return
	}
	switch {
	case issuing(told.issue) == issueFailed:
		d.add(told.issue, "issuing failed")
	case len(told.issue.Codes) == 0:
		d.add(told.issue, "codes issued")
	}
}

func (d doubts) ofCodes(told pushed, seen view) {
	for _, c := range told.sortedCodes() {
		code, listed := seen.codes[c.id]
		if c.issued.by != nil && !listed && !seen.closed() && !seen.namesOtherwise(c) {
			d.add(c.issued.by, "%s issued", c.issued.code.Hint)
		}
		switch {
		case c.used.by == nil:
		case c.used.by.Type == v1alpha1.NotificationCodeUsed:
			if count(code.Used) < c.uses() && (seen.State != Finished || code.Used != nil) && !takenBack(code) {
				d.add(c.used.by, "%d used of %s", c.uses(), c.used.code.Hint)
			}
		case !freed(code, c.used.code.Used):
			d.add(c.used.by, "a use of %s cancelled", c.used.code.Hint)
		}
	}
}

// takenBack: all of the code was refunded, or the platform tells of its refund in place of
// its use. What was used may be refunded too, and then the use is not told any more.
func takenBack(code v1alpha1.Code) bool {
	return code.Ref != "" && code.Used == nil || count(code.Refunded) > 0 && count(code.Refunded) >= persons(code)
}

// namesOtherwise: the code was pushed without the platform's own id of it, and all those
// listed are told apart by theirs: it may be any of them.
func (v view) namesOtherwise(c *pushedCode) bool {
	return c.hint.code.Ref == "" && len(v.Codes) > 0 &&
		!slices.ContainsFunc(v.Codes, func(code v1alpha1.Code) bool { return code.Ref == "" })
}

// freed: no more is used of the code than is left of its uses; where that is not told,
// not all of it.
func freed(code v1alpha1.Code, left *int64) bool {
	if left == nil {
		return count(code.Used) == 0 || count(code.Used) < persons(code)
	}
	return count(code.Used) <= count(left)
}

func (d doubts) ofRefunds(told pushed, seen view) {
	covered := seen.covers(told)
	for _, r := range told.sortedRefunds() {
		switch {
		case r.succeeded():
			if !seen.paid(r, covered) {
				d.add(r.decided, "%s", refundText(r.decided))
			}
		case r.undecided():
			if !seen.lists(r) && !seen.decides(r) && seen.RefundState != RefundRequested {
				d.add(r.requested, "refund requested")
			}
		case r.turnedDown():
		case !seen.refused(r):
			d.add(r.decided, "a refund failed")
		}
	}
}

func refundText(n *v1alpha1.Notification) string {
	refund := n.Refund
	switch {
	case refund != nil && isMoney(refund.Amount):
		return money.Format(refund.Amount.Amount, refund.Amount.Currency) + " refunded"
	case refund != nil && refund.Full:
		return "all refunded"
	case refund != nil && refund.Quantity != nil:
		return fmt.Sprintf("%d refunded", count(refund.Quantity))
	}
	return "refunded"
}

// standing are the pushed requests that neither a push nor the answer decides and the
// answer does not list. The one that a platform's Requested speaks of is not repeated.
func (p *pushed) standing(seen view) []v1alpha1.Refund {
	var refunds []v1alpha1.Refund
	for _, r := range p.sortedRefunds() {
		spoken := r.id == "" && seen.RefundState == RefundRequested
		if r.undecided() && !seen.lists(r) && !seen.decides(r) && !spoken {
			refunds = append(refunds, bounded(r.status()))
		}
	}
	return refunds
}

// undone: nothing is left of the order.
func (v view) undone() bool { return v.State == Cancelled || v.State == Failed || v.refundedAll }

// closed: the order is over, one way or another.
func (v view) closed() bool { return v.undone() || v.State == Finished }

func (v view) issued() bool { return v.closed() || v.State == Issued || len(v.Codes) > 0 }

func (v view) lists(r *pushedRefund) bool {
	_, listed := v.refunds[r.id]
	return listed && r.id != ""
}

// decides the request: the order is undone, its codes are refunded, or the platform's
// state of refunds is a decision and nothing listed tells it apart from this request.
func (v view) decides(r *pushedRefund) bool {
	decision := v.RefundState == RefundPartly || v.RefundState == RefundFailed
	return v.undone() || v.refundsCodes(r.requested) || decision && (r.id == "" || len(v.Refunds) == 0)
}

// paid: the refund is shown as paid, by itself or in a sum that covers all claimed.
func (v view) paid(r *pushedRefund, covered bool) bool {
	switch {
	case v.refundedAll:
		return true
	case v.lists(r):
		return ptr.Deref(v.refunds[r.id].Succeeded, false)
	}
	return v.refundsCodes(r.decided) || covered && !r.full()
}

// refused: the refund is shown as decided, or none is waiting.
func (v view) refused(r *pushedRefund) bool {
	if v.lists(r) {
		return v.refunds[r.id].Succeeded != nil
	}
	return v.RefundState != RefundRequested
}

// refundsCodes: every code that the push names is refunded, as far as it says. A request
// says only how much was refunded before.
func (v view) refundsCodes(n *v1alpha1.Notification) bool {
	for _, code := range n.Codes {
		claimed := max(1, count(code.Persons))
		if code.Refunded != nil && n.Type != v1alpha1.NotificationRefundRequested {
			claimed = count(code.Refunded)
		}
		if count(v.codes[code.ID].Refunded) < claimed {
			return false
		}
	}
	return len(n.Codes) > 0
}

// covers: the answer tells of refunds at least the sum of all that are claimed, each
// counted once. What the answer does not tell is not compared.
func (v view) covers(told pushed) bool {
	var quantity int64
	amounts := map[string]int64{}
	for _, r := range told.refunds {
		if !r.succeeded() || r.decided.Refund == nil {
			continue
		}
		quantity = money.Plus(quantity, count(r.decided.Refund.Quantity))
		if amount := r.decided.Refund.Amount; isMoney(amount) {
			amounts[amount.Currency] = money.Plus(amounts[amount.Currency], minor(amount))
		}
	}
	for currency, sum := range amounts {
		paid := v.totals.RefundedAmount
		if paid != nil && sum > 0 && (paid.Currency != currency || paid.Amount < sum) {
			return false
		}
	}
	return v.refundedSome && (v.repaid == nil || count(v.repaid) >= quantity)
}
