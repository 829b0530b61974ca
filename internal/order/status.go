package order

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/money"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// view is an Answer, counted and indexed by id.
type view struct {
	*Answer
	codes   map[string]v1alpha1.Code
	refunds map[string]v1alpha1.Refund
	totals  v1alpha1.OrderTotals
	// repaid is the quantity refunded, by the order or else by its listed refunds; nil
	// if neither tells it.
	repaid *int64
	// What the codes, the quantities and the refunds come to. usedAll is not looked at
	// once anything is refunded; spent is use and refunds together.
	refundedAll, refundedSome, usedAll, spent bool
}

// look counts an answer.
func look(a *Answer) view {
	v := view{Answer: a, codes: map[string]v1alpha1.Code{}, refunds: map[string]v1alpha1.Refund{}}
	var used, refunded, spent tally
	for _, code := range a.Codes {
		v.codes[code.ID] = code
		admitted := persons(code)
		v.totals.Persons = money.Plus(v.totals.Persons, admitted)
		used.add(code.Used, admitted)
		refunded.add(code.Refunded, admitted)
		spent.add(ptr.To(money.Plus(count(code.Used), count(code.Refunded))), admitted)
	}
	for _, refund := range a.Refunds {
		v.refunds[refund.ID] = refund
	}
	paid := paidRefunds(a)
	v.repaid = cmp.Or(a.RefundedQuantity, paid.quantity)

	ordered := count(a.Quantity)
	all := refunded.all() || ordered > 0 && count(v.repaid) >= ordered
	v.refundedAll = a.RefundState == RefundFull || a.RefundState != RefundPartly && all
	v.refundedSome = v.refundedAll || a.RefundState == RefundPartly || refunded.sum > 0 ||
		count(v.repaid) > 0 || paid.any || a.Refunded != nil && a.Refunded.Amount > 0
	v.usedAll = used.all() || a.State == Finished && !used.told
	v.spent = spent.all()

	v.totals.Used, v.totals.Refunded = used.sum, refunded.sum
	if !refunded.told {
		v.totals.Refunded = count(v.repaid)
	}
	v.totals.RefundedAmount = v.refundedAmount(paid.amount)
	return v
}

// tally adds up one count of the codes.
type tally struct {
	// told: some code names the number.
	told bool
	sum  int64
	// short: some code has less than it admits.
	short bool
}

func (t *tally) add(number *int64, admitted int64) {
	t.told = t.told || number != nil
	t.sum = money.Plus(t.sum, count(number))
	t.short = t.short || count(number) < admitted
}

func (t tally) all() bool { return t.sum > 0 && !t.short }

// paid is what the listed refunds that succeeded come to; nil where none names it.
type paid struct {
	any      bool
	quantity *int64
	amount   *v1alpha1.Money
}

// paidRefunds adds up in the order's currency or, where that is unknown, in the first
// that is named.
func paidRefunds(a *Answer) paid {
	p, currency := paid{}, a.Currency
	for _, refund := range a.Refunds {
		if !ptr.Deref(refund.Succeeded, false) {
			continue
		}
		p.any = true
		if refund.Quantity != nil {
			p.quantity = ptr.To(money.Plus(count(p.quantity), count(refund.Quantity)))
		}
		amount := refund.Amount
		if !isMoney(amount) {
			continue
		}
		if !money.IsCode(currency) {
			currency = amount.Currency
		}
		if amount.Currency == currency {
			p.amount = &v1alpha1.Money{Currency: currency, Amount: money.Plus(minor(p.amount), minor(amount))}
		}
	}
	return p
}

// refundedAmount as the order itself tells it, else its listed refunds. Zero is only
// written where nothing was refunded: an amount that is not told is not zero.
func (v view) refundedAmount(listed *v1alpha1.Money) *v1alpha1.Money {
	switch {
	case isMoney(v.Refunded):
		return &v1alpha1.Money{Currency: v.Refunded.Currency, Amount: minor(v.Refunded)}
	case listed != nil:
		return listed
	case !v.refundedSome && money.IsCode(v.Currency):
		return &v1alpha1.Money{Currency: v.Currency}
	}
	return nil
}

// phase is the first row of the table in the package comment that applies.
func (v view) phase(requested, awaited bool, unknown v1alpha1.OrderPhase) v1alpha1.OrderPhase {
	switch {
	case v.State == Failed:
		return v1alpha1.OrderFailed
	case v.State == Cancelled:
		return v1alpha1.OrderCancelled
	case v.refundedAll:
		return v1alpha1.OrderRefunded
	case requested:
		return v1alpha1.OrderRefundRequested
	case v.refundedSome:
		return v1alpha1.OrderPartlyRefunded
	case v.usedAll:
		return v1alpha1.OrderUsed
	case v.totals.Used > 0:
		return v1alpha1.OrderPartlyUsed
	case v.State == Issued, v.State == Finished, len(v.Codes) > 0 && !awaited:
		return v1alpha1.OrderIssued
	case awaited && (v.State == Paid || len(v.Codes) > 0):
		return v1alpha1.OrderIssuing
	case v.State == Paid:
		return v1alpha1.OrderPaid
	case v.State == Pending:
		return v1alpha1.OrderPending
	}
	return unknown
}

// over: nothing more is expected of an order in this phase. A refund that is asked for
// is, unless all was refunded.
func (v view) over(phase v1alpha1.OrderPhase, requested bool) bool {
	switch phase {
	case v1alpha1.OrderRefunded:
		return true
	case v1alpha1.OrderFailed, v1alpha1.OrderCancelled, v1alpha1.OrderUsed:
		return !requested
	}
	return !requested && (v.State == Finished || v.spent)
}

// listedCodes in the answer's order, within the API's bounds.
func (v view) listedCodes() []v1alpha1.Code {
	var codes []v1alpha1.Code
	for _, code := range v.Codes {
		if code.ID == "" || len(codes) == maxCodes {
			continue
		}
		listed := v1alpha1.Code{
			ID: sealing.Cut(code.ID, 80), Hint: cmp.Or(sealing.Cut(code.Hint, 32), "•••"), Ref: sealing.Cut(code.Ref, 128), Form: code.Form,
			Refunded: ptr.To(count(code.Refunded)),
		}
		if code.Used != nil { // what the platform does not tell is not none
			listed.Used = ptr.To(count(code.Used))
		}
		if code.Persons != nil {
			listed.Persons = ptr.To(count(code.Persons))
		}
		codes = append(codes, listed)
	}
	return codes
}

// listedRefunds within the API's bounds, except for their number.
func (v view) listedRefunds() []v1alpha1.Refund {
	var refunds []v1alpha1.Refund
	for _, refund := range v.Refunds {
		refunds = append(refunds, bounded(refund))
	}
	return refunds
}

func bounded(refund v1alpha1.Refund) v1alpha1.Refund {
	refund.ID = sealing.Cut(refund.ID, 128)
	refund.Reason = sealing.Cut(refund.Reason, 512)
	if !isMoney(refund.Amount) {
		refund.Amount = nil
	}
	if refund.Quantity != nil {
		refund.Quantity = ptr.To(count(refund.Quantity))
	}
	return refund
}

// newestRefunds by time, then id: platforms do not promise an order, and a list that
// turned about would be written each time. Beyond the bound the oldest are left out.
func newestRefunds(refunds []v1alpha1.Refund) []v1alpha1.Refund {
	slices.SortStableFunc(refunds, func(a, b v1alpha1.Refund) int {
		return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a.ID, b.ID))
	})
	return refunds[max(0, len(refunds)-maxRefunds):]
}

func at(refund v1alpha1.Refund) int64 {
	if refund.At == nil {
		return 0
	}
	return refund.At.UnixMicro()
}

// refundRequested: one of these refunds is undecided, or the platform says so.
func (v view) refundRequested(refunds []v1alpha1.Refund) bool {
	return v.RefundState == RefundRequested ||
		slices.ContainsFunc(refunds, func(r v1alpha1.Refund) bool { return r.Succeeded == nil })
}

func summary(codes int, totals v1alpha1.OrderTotals) v1alpha1.OrderSummary {
	s := v1alpha1.OrderSummary{
		Codes: strconv.Itoa(codes),
		Used:  fmt.Sprintf("%d/%d", totals.Used, totals.Persons),
	}
	if amount := totals.RefundedAmount; amount != nil {
		s.Refunded = money.Format(amount.Amount, amount.Currency)
	}
	return s
}

// persons a code admits; one if it names none, or as many as are known to have gone.
func persons(code v1alpha1.Code) int64 {
	if code.Persons != nil {
		return count(code.Persons)
	}
	return max(1, money.Plus(count(code.Used), count(code.Refunded)))
}

// count is a number that may be missing, and is never negative.
func count(number *int64) int64 { return max(0, ptr.Deref(number, 0)) }

// minor is an amount that may be missing, and is never negative.
func minor(amount *v1alpha1.Money) int64 {
	if amount == nil {
		return 0
	}
	return max(0, amount.Amount)
}

func isMoney(amount *v1alpha1.Money) bool { return amount != nil && money.IsCode(amount.Currency) }
