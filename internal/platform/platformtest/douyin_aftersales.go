package platformtest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Kinds of after-sales.
const (
	// DouyinRefundApply is a refund of third-party codes, decided by the SPI's answer or by
	// fulfilment/refund/audit.
	DouyinRefundApply = "refund_apply"
	// DouyinAfterSaleAudit is a refund of the platform's own used codes, decided by
	// akte/after_sale/order/audit.
	DouyinAfterSaleAudit = "after_sale_audit"
	// DouyinOwnRefund is one that the platform made without asking.
	DouyinOwnRefund = "own"
)

// States of after-sales.
const (
	DouyinAsked    = "asked"   // applied for, no answer yet
	DouyinPending  = "pending" // told to wait
	DouyinApproved = "approved"
	DouyinRefused  = "refused"
)

const (
	// douyinIssueWait is how long the platform waits for the callback with codes (DOC).
	douyinIssueWait = 10 * time.Minute
	// douyinRefundWait is how long it waits for a decision on a refund (DOC; another page
	// says 72 h).
	douyinRefundWait = 24 * time.Hour
)

// DouyinAfterSale is one refund, applied for or made.
type DouyinAfterSale struct {
	ID             string   `json:"id"`
	OrderID        string   `json:"orderID"`
	CertificateIDs []string `json:"certificateIDs"`
	Kind           string   `json:"kind"`
	State          string   `json:"state"`
	// Amount in fen.
	Amount int64  `json:"amount"`
	Reason string `json:"reason,omitempty"`
	// Due is when it is approved without a decision; zero if never.
	AppliedAt time.Time `json:"appliedAt"`
	Due       time.Time `json:"due,omitzero"`
	DecidedAt time.Time `json:"decidedAt,omitzero"`
	// Automatic: nobody decided in time.
	Automatic bool `json:"automatic,omitempty"`
}

func (a *DouyinAfterSale) decided() bool {
	return a.State == DouyinApproved || a.State == DouyinRefused
}

// AfterSales are copies of all after-sales, in the order they were applied for.
func (f *Douyin) AfterSales() []DouyinAfterSale {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]DouyinAfterSale, 0, len(f.applied))
	for _, id := range f.applied {
		all = append(all, *f.afterSales[id])
	}
	return all
}

// AfterSale is a copy of one; false if there is none.
func (f *Douyin) AfterSale(id string) (DouyinAfterSale, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, known := f.afterSales[id]
	if !known {
		return DouyinAfterSale{}, false
	}
	return *a, true
}

// apply opens an after-sale of the certificates, all of them if none is named, under the
// lock.
func (f *Douyin) apply(o *DouyinOrder, kind, reason string, certificateIDs []string) (*DouyinAfterSale, error) {
	if len(certificateIDs) == 0 {
		for _, c := range o.Certificates {
			certificateIDs = append(certificateIDs, c.ID)
		}
	}
	for _, id := range certificateIDs {
		c := o.certificate(id)
		if c == nil {
			return nil, fmt.Errorf("order %s has no certificate %s", o.ID, id)
		}
		if c.Status == DouyinCertificateRefundAsked || c.Status == DouyinCertificateRefunded {
			return nil, fmt.Errorf("certificate %s has the status %d", id, c.Status)
		}
	}
	a := &DouyinAfterSale{ID: fmt.Sprintf("9%s%02d", o.ID[1:], len(f.applied)+1), OrderID: o.ID, CertificateIDs: slices.Clone(certificateIDs),
		Kind: kind, State: DouyinAsked, Reason: reason, Amount: o.Price * int64(len(certificateIDs)), AppliedAt: f.now()}
	f.afterSales[a.ID] = a
	f.applied = append(f.applied, a.ID)
	for _, id := range certificateIDs {
		if c := o.certificate(id); c.Status != DouyinCertificateInit {
			c.Status = DouyinCertificateRefundAsked
		}
	}
	return a, nil
}

// approve refunds, and tells it: refund_notice for third-party codes, then
// life_trade_certificate_notify for each certificate.
func (f *Douyin) approve(a *DouyinAfterSale, automatic bool) {
	o := f.orders[a.OrderID]
	a.State, a.DecidedAt, a.Automatic = DouyinApproved, f.now(), automatic
	for _, id := range a.CertificateIDs {
		c := o.certificate(id)
		c.Status, c.RefundAmount, c.RefundedAt = DouyinCertificateRefunded, a.Amount/int64(len(a.CertificateIDs)), a.DecidedAt
	}
	o.conclude()
	if a.Kind != DouyinAfterSaleAudit && o.ThirdParty {
		f.post(DouyinRefundNoticePath, f.refundNotice(a, o))
	}
	for _, id := range a.CertificateIDs {
		f.post(DouyinEventsPath, f.certificatePush(o, id, "refund_success"))
	}
}

// refuse puts the certificates back.
func (f *Douyin) refuse(a *DouyinAfterSale, reason string) {
	o := f.orders[a.OrderID]
	a.State, a.DecidedAt, a.Reason = DouyinRefused, f.now(), cmp.Or(reason, a.Reason)
	for _, id := range a.CertificateIDs {
		c := o.certificate(id)
		switch {
		case !c.VerifiedAt.IsZero():
			c.Status = DouyinCertificateUsed
		case c.Code != "":
			c.Status = DouyinCertificateUnused
		}
	}
	if o.ThirdParty && !slices.Contains(o.codes(), "") {
		o.Issue, o.Status = DouyinIssued, DouyinUsable // a refusal may bring the codes (DOC)
		o.conclude()
	}
}

// expire does what is due by the clock, under the lock: an issue that was not called back
// goes to our refund review, a refund that was not decided is approved.
func (f *Douyin) expire() {
	now := f.now()
	for _, id := range slices.Sorted(maps.Keys(f.orders)) {
		o := f.orders[id]
		if o.Issue != DouyinIssuePending || now.Before(o.IssueDue) {
			continue
		}
		o.Issue = DouyinIssueOverdue
		if a, err := f.apply(o, DouyinRefundApply, "发券超时", nil); err == nil {
			f.review(a)
		}
	}
	for _, id := range f.applied {
		a := f.afterSales[id]
		if a.State == DouyinPending && !a.Due.IsZero() && !now.Before(a.Due) {
			f.approve(a, true)
		}
	}
}

// Refund refunds certificates without asking, all of them if none is named, as the
// platform's own service does. What tells it goes out with the next Settle.
func (f *Douyin) Refund(orderID string, certificateIDs ...string) (DouyinAfterSale, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, known := f.orders[orderID]
	if !known {
		return DouyinAfterSale{}, fmt.Errorf("no order %s", orderID)
	}
	a, err := f.apply(o, DouyinOwnRefund, "客服退款", certificateIDs)
	if err != nil {
		return DouyinAfterSale{}, err
	}
	f.approve(a, false)
	return *a, nil
}

// RequestAfterSale applies for a refund of a used code of the platform's own, and returns
// the event that tells it.
func (f *Douyin) RequestAfterSale(orderID, certificateID, reason string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, known := f.orders[orderID]
	if !known {
		return nil, fmt.Errorf("no order %s", orderID)
	}
	if c := o.certificate(certificateID); o.ThirdParty || c == nil || c.Status != DouyinCertificateUsed {
		return nil, errors.New("only a used code of the platform's own is refunded so")
	}
	a, err := f.apply(o, DouyinAfterSaleAudit, reason, []string{certificateID})
	if err != nil {
		return nil, err
	}
	a.State = DouyinPending
	return f.afterSalePush(a), nil
}

// answerAfterSaleQuery lists after-sales by the call's times; both ends are needed (DOC).
// The names of the answer's fields are INFER.
func (f *Douyin) answerAfterSaleQuery(call douyinCall) (map[string]any, error) {
	size, err1 := call.number("page_size", 20, 1, 100)
	from, err2 := call.number("cursor", 0, 0, len(f.applied))
	matches, err3 := f.afterSaleFilter(call)
	if err := errors.Join(err1, err2, err3); err != nil {
		f.complain("%s: page_size, cursor or the times are wrong", call.op)
		return nil, douyinFailure{2100005, "page_size, cursor or the times"}
	}
	rows, next := []any{}, from
	for ; next < len(f.applied) && len(rows) < size; next++ {
		if a := f.afterSales[f.applied[next]]; !call.empty && matches(a) {
			rows = append(rows, a.rows("")...)
		}
	}
	return map[string]any{"after_sale_orders": rows, "cursor": fmt.Sprint(next), "has_more": next < len(f.applied)}, nil
}

// afterSaleFilter reads the one pair of times that must be there.
func (f *Douyin) afterSaleFilter(call douyinCall) (func(*DouyinAfterSale) bool, error) {
	for name, timeOf := range map[string]func(*DouyinAfterSale) time.Time{
		"create_order": func(a *DouyinAfterSale) time.Time { return f.orders[a.OrderID].CreatedAt },
		"refund_done":  func(a *DouyinAfterSale) time.Time { return a.DecidedAt },
	} {
		from, err1 := call.number(name+"_start_time", 0, 0, 1<<40)
		to, err2 := call.number(name+"_end_time", 0, 0, 1<<40)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if from > 0 && to >= from {
			return func(a *DouyinAfterSale) bool {
				at := timeOf(a).Unix()
				return at >= int64(from) && at <= int64(to)
			}, nil
		}
	}
	return nil, errors.New("no times")
}

// answerAfterSaleDetail answers the after-sales of an order, or of a certificate of it. What
// the answer looks like is UNKNOWN: a list here, like that of the query.
func (f *Douyin) answerAfterSaleDetail(call douyinCall) (map[string]any, error) {
	rows := []any{}
	for _, id := range f.applied {
		if a := f.afterSales[id]; a.OrderID == call.text("order_id") && !call.empty {
			rows = append(rows, a.rows(call.text("certificate_id"))...)
		}
	}
	return map[string]any{"after_sale_order_list": rows}, nil
}

// rows are one for each certificate, or for the one that is named. refund_status is one of
// 9, 10, 20, 25, 30, 40, 50, 59 (CODE); that 10 is in review, 25 refused and 50 made, too.
func (a *DouyinAfterSale) rows(only string) []any {
	rows := []any{}
	for _, id := range a.CertificateIDs {
		if only != "" && only != id {
			continue
		}
		row := map[string]any{"order_id": a.OrderID, "after_sale_id": a.ID, "certificate_id": id,
			"refund_status": map[string]int{DouyinAsked: 10, DouyinPending: 10, DouyinApproved: 50, DouyinRefused: 25}[a.State],
			"refund_amount": a.Amount / int64(len(a.CertificateIDs)), "apply_time": a.AppliedAt.Unix(), "apply_reason": a.Reason}
		if !a.DecidedAt.IsZero() {
			row["refund_done_time"] = a.DecidedAt.Unix()
		}
		rows = append(rows, row)
	}
	return rows
}

// answerAfterSaleAudit decides on a refund of a code of the platform's own (DOC).
func (f *Douyin) answerAfterSaleAudit(call douyinCall) (map[string]any, error) {
	var request struct {
		OrderID       string `json:"order_id"`
		CertificateID string `json:"certificate_id"`
		AuditStatus   *bool  `json:"audit_status"`
		RejectReason  string `json:"reject_reason"`
	}
	if err := f.readBody(call, &request); err != nil {
		return nil, err
	}
	for _, id := range slices.Backward(f.applied) {
		a := f.afterSales[id]
		if a.Kind == DouyinAfterSaleAudit && a.OrderID == request.OrderID && a.CertificateIDs[0] == request.CertificateID {
			if request.AuditStatus == nil {
				return nil, f.lacks(call.op, "audit_status")
			}
			return nil, f.decide(call.op, a, *request.AuditStatus, request.RejectReason)
		}
	}
	f.complain("%s: there is no such after-sale", call.op)
	return nil, douyinFailure{2100005, "no such after-sale"}
}

// decide does what was decided. The same said again is good; anything else after the
// decision is not.
func (f *Douyin) decide(op string, a *DouyinAfterSale, approve bool, reason string) error {
	if !approve && reason == "" {
		f.complain("%s: %s is refused without a reason", op, a.ID)
	}
	if a.decided() {
		if a.Automatic || approve != (a.State == DouyinApproved) {
			f.complain("%s: an audit of %s after it was decided", op, a.ID)
			return douyinFailure{3000001, "it was decided before"}
		}
		return nil
	}
	if approve {
		f.approve(a, false)
	} else {
		f.refuse(a, reason)
	}
	return nil
}

// douyinRefundCoupon is a coupon in fulfilment/refund/audit.
type douyinRefundCoupon struct {
	CertificateID string `json:"certificate_id"`
	Code          string `json:"code"`
	Reason        string `json:"reason"`
}

// answerRefundAudit decides on a refund of third-party codes that was pending (DOC).
func (f *Douyin) answerRefundAudit(call douyinCall) (map[string]any, error) {
	var request struct {
		Result        int                  `json:"result"`
		AfterSaleID   string               `json:"after_sale_id"`
		Certificate   []douyinRefundCoupon `json:"certificate"`
		CertificateID string               `json:"certificate_id"`
		Code          string               `json:"code"`
		Reason        string               `json:"reason"`
	}
	if err := f.readBody(call, &request); err != nil {
		return nil, err
	}
	coupons, reason := request.Certificate, request.Reason
	if len(coupons) == 0 && request.CertificateID != "" {
		coupons = []douyinRefundCoupon{{request.CertificateID, request.Code, request.Reason}}
	}
	for _, c := range coupons {
		reason = cmp.Or(reason, c.Reason)
	}
	a := f.applicationOf(request.AfterSaleID, coupons)
	switch {
	case a == nil:
		f.complain("%s: there is no such refund application", call.op)
		return nil, douyinFailure{2100005, "no such application"}
	case request.Result != 1 && request.Result != 2:
		f.complain("%s: the result %d is neither 1 nor 2", call.op, request.Result)
		return nil, douyinFailure{2100005, "result"}
	}
	if err := f.checkCoupons(call.op, a, coupons, request.Result == 2); err != nil {
		return nil, err
	}
	return nil, f.decide(call.op, a, request.Result == 1, reason)
}

// applicationOf is the application with the id, or the newest of the coupons.
func (f *Douyin) applicationOf(id string, coupons []douyinRefundCoupon) *DouyinAfterSale {
	if id != "" {
		if a := f.afterSales[id]; a != nil && a.Kind == DouyinRefundApply {
			return a
		}
		return nil
	}
	for _, id := range slices.Backward(f.applied) {
		a := f.afterSales[id]
		if a.Kind == DouyinRefundApply && slices.ContainsFunc(coupons, func(c douyinRefundCoupon) bool { return slices.Contains(a.CertificateIDs, c.CertificateID) }) {
			return a
		}
	}
	return nil
}

// checkCoupons: all coupons of the application are named, none else, with their codes; one
// that was never issued can be refused only together with its code (DOC), which is then
// its code.
func (f *Douyin) checkCoupons(op string, a *DouyinAfterSale, coupons []douyinRefundCoupon, refused bool) error {
	o := f.orders[a.OrderID]
	named := map[string]string{}
	for _, c := range coupons {
		named[c.CertificateID] = c.Code
	}
	if len(coupons) != len(a.CertificateIDs) || len(named) != len(coupons) {
		f.complain("%s: %d coupons are named, %s has %d", op, len(coupons), a.ID, len(a.CertificateIDs))
		return douyinFailure{2100005, "certificate"}
	}
	for _, id := range a.CertificateIDs {
		code, there := named[id]
		c := o.certificate(id)
		switch {
		case !there:
			f.complain("%s: coupon %s of %s is not named", op, id, a.ID)
			return douyinFailure{2100005, "certificate"}
		case c.Code != "" && code != "" && code != c.Code:
			f.complain("%s: coupon %s has another code", op, id)
			return douyinFailure{2100005, "code"}
		case c.Code == "" && code == "" && refused:
			f.complain("%s: coupon %s was never issued and is refused without a code", op, id)
			return douyinFailure{2100005, "code"}
		case c.Code == "" && refused && !a.decided():
			if err := f.claim(op, o.ID, code); err != nil {
				return err
			}
			c.Code = code
		}
	}
	return nil
}

// claim notes whose code it is; a code belongs to one order.
func (f *Douyin) claim(op, orderID, code string) error {
	if owner := f.codeOf[code]; owner != "" && owner != orderID {
		f.complain("%s: orders %s and %s have the same code", op, owner, orderID)
		return douyinFailure{2100005, "a code of another order"}
	}
	f.codeOf[code] = orderID
	return nil
}
