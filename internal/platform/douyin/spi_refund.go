package douyin

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
)

// refundDeadline is how long the platform waits for a decision on a refund request, before
// it agrees for us (documented on the audit call's page; the order query's page has 72
// hours: the shorter counts).
const refundDeadline = 24 * time.Hour

// The results of a refund request, and of its audit. 1 and 2 are documented for the audit
// call; that the request's answer has the same, and 0 for pending, is inferred.
const (
	refundPending  = 0
	refundApproved = 1
	refundRefused  = 2
)

// usedReason is what a refused request is told. It never changes: the same request asked
// again gets the same answer.
const usedReason = "券码已使用"

// refundApply asks whether coupons of an order may be refunded (documented: within 8 s;
// several coupons of one order; one answer for all). The page's table of the request could
// not be read: whatever of the likely names is there is taken.
type refundApply struct {
	scene
	orderID, afterSaleID string
	coupons              []coupon
	amount               *int64
}

var _ platform.Inquiry = refundApply{}

// openRefundApply reads which coupons of which order.
func openRefundApply(s scene) (platform.Message, error) {
	s.body.Require("order_id")
	m := refundApply{
		scene: s, orderID: s.body.ID("order_id"), afterSaleID: s.body.ID("after_sale_id"),
		coupons: readCoupons(listed(s.body, "certificates", "certificate", "certificate_list")),
		amount:  s.body.Count("refund_amount"),
	}
	if len(m.coupons) == 0 && (s.body.Has("certificate_id") || s.body.Has("code")) {
		m.coupons = readCoupons([]fields.Object{s.body})
	}
	if m.afterSaleID == "" {
		if len(m.coupons) == 0 {
			s.body.Fail("certificates", "are missing")
		}
		requireIDs(s.body, m.coupons)
	}
	return m, checkCoupons(m.coupons)
}

// listed reads the first of the names that is there: a list of objects, or an object.
func listed(body fields.Object, names ...string) []fields.Object {
	for _, name := range names {
		raw := body.Raw(name)
		switch {
		case raw == nil:
		case bytes.HasPrefix(raw, []byte("{")):
			return []fields.Object{body.Object(name)}
		default:
			return body.Objects(name)
		}
	}
	return nil
}

// Asks for the order.
func (m refundApply) Asks() platform.Lookup {
	return platform.Lookup{Orders: []string{m.orderID}, Fresh: true} // a use told just now counts
}

// id of the request.
func (m refundApply) id() string {
	if m.afterSaleID != "" {
		return sceneID(sceneRefundApply, m.orderID, m.afterSaleID)
	}
	return sceneID(sceneRefundApply, m.orderID, namesOf(m.coupons))
}

// Answer decides by the Channel's policy and by what is known to be used; what is not
// certain is left to somebody, and answered later.
func (m refundApply) Answer(holder platform.Holder, known platform.Known) (platform.Answer, error) {
	id, recorded := m.round(known.Orders[m.orderID].Recorded)
	if recorded != nil {
		reply, err := refundReply(platform.Result(recorded.Result))
		return platform.Answer{Recorded: true, Reply: reply}, err
	}
	result := platform.ResultPending
	if order, ok := known.Orders[m.orderID]; ok && settingsOf(holder).RefundDecision == DecideUnused {
		result = m.decide(order, known.CodeID)
	}
	reply, err := refundReply(result)
	return platform.Answer{Events: []platform.Event{{Order: m.requested(id, result)}}, Reply: reply}, err
}

// round is the id of this request, and what was recorded of it; nil if nothing was. A
// request without an id of its own is a new one once the one before it was decided.
func (m refundApply) round(all map[string]platform.Recorded) (id string, recorded *platform.Recorded) {
	id = m.id()
	for n := 2; ; n++ {
		was, known := all[id]
		if !known {
			return id, nil
		}
		if m.afterSaleID != "" || was.Later == "" {
			return id, &was
		}
		id = sceneID(sceneRefundApply, m.orderID, namesOf(m.coupons), strconv.Itoa(n))
	}
}

// requested is the notification of the request and of what it was told.
func (m refundApply) requested(id string, result platform.Result) *platform.OrderNotification {
	n := m.notification(kindRefundRequested, m.orderID, id)
	n.Codes = codesOf(m.coupons)
	n.Refund = &platform.RefundFact{
		ID: refundID(m.afterSaleID, m.coupons), Currency: currency, Amount: m.amount, At: n.OccurredAt,
	}
	if len(m.coupons) > 0 {
		n.Refund.Quantity = new(int64(len(m.coupons)))
	}
	if result == platform.ResultPending {
		n.Deadline = m.deadline(refundDeadline)
	}
	n.Replied = &platform.Replied{Result: result}
	return n
}

// decide approves what is all unused, and refuses what is all used. Coupons of which
// anything else is true, or too little known, leave it open.
func (m refundApply) decide(order platform.KnownOrder, name func(platform.Code) string) platform.Result {
	if !order.Confirmed || len(m.coupons) == 0 {
		return platform.ResultPending
	}
	used, unused := 0, 0
	for _, c := range m.coupons {
		switch use(c, order, name) {
		case isUsed:
			used++
		case isUnused:
			unused++
		case isOpen:
		}
	}
	switch len(m.coupons) {
	case unused:
		return platform.ResultApproved
	case used:
		return platform.ResultRefused
	}
	return platform.ResultPending
}

type usage int

const (
	isOpen usage = iota
	isUsed
	isUnused
)

// use of a coupon. One that comes without a code was never issued (documented): it counts
// as unused while we have issued nothing either. To refuse it, its code would have to be
// given (documented), so such a one is never refused.
func use(c coupon, order platform.KnownOrder, name func(platform.Code) string) usage {
	code, known := order.Codes[name(c.Code)]
	if !known && !c.Text.IsZero() {
		code, known = order.Codes[name(platform.Code{Text: c.Text})] // issued without ids
	}
	if c.Text.IsZero() {
		early := []string{"Pending", "Paid", "Issuing"}
		if !known && slices.Contains(early, order.Phase) {
			return isUnused
		}
		return isOpen
	}
	switch {
	case !known || code.UseUnknown || code.Refunded > 0:
		return isOpen
	case code.Used > 0:
		return isUsed
	}
	return isUnused
}

// refundReply is the answer to a request.
func refundReply(result platform.Result) (platform.Reply, error) {
	data := struct {
		status
		Result int    `json:"result"`
		Reason string `json:"reason,omitempty"`
	}{status: success}
	switch result {
	case platform.ResultPending:
		data.Result = refundPending
	case platform.ResultApproved:
		data.Result = refundApproved
	case platform.ResultRefused:
		data.Result, data.Reason = refundRefused, usedReason
	case platform.ResultIssued:
		fallthrough
	default:
		return platform.Reply{}, errors.New("a refund request was recorded with an answer that is none")
	}
	return answered(data), nil
}

// refundNotice tells that a refund was made, or not (documented: it is sent for refunds
// that we did not decide; delivery is not assured).
type refundNotice struct {
	scene
	notice *platform.OrderNotification
}

// auditRefused is the audit_result of a refused refund, on the pages of other scenes
// (inferred).
const auditRefused = "2"

// openRefundNotice reads what was refunded. The page's table is cut.
func openRefundNotice(s scene) (platform.Message, error) {
	s.body.Require("order_id")
	orderID, afterSaleID := s.body.ID("order_id"), s.body.ID("after_sale_id")
	items := s.body.Objects("notice_list")
	coupons := readCoupons(items)
	if err := checkCoupons(coupons); err != nil {
		return nil, err
	}
	about := []string{orderID, afterSaleID}
	if afterSaleID == "" {
		requireIDs(s.body, coupons)
		about[1] = namesOf(coupons)
	}
	refunded, at := made(items, coupons)
	succeeded := len(refunded) > 0 || len(items) == 0
	if !succeeded {
		about = append(about, "refused") // the same may be refunded later
	}
	n := s.notification(kindRefunded, orderID, sceneID(sceneRefundNotice, about...))
	n.Succeeded = &succeeded
	if !at.IsZero() {
		n.OccurredAt = at
	}
	if !succeeded {
		refunded = coupons
	}
	n.Codes = codesOf(refunded)
	n.Refund = &platform.RefundFact{ID: refundID(afterSaleID, coupons), Currency: currency, At: at, Succeeded: n.Succeeded}
	if len(refunded) > 0 {
		n.Refund.Quantity = new(int64(len(refunded)))
	}
	return refundNotice{scene: s, notice: n}, nil
}

// made are the coupons whose refund was not refused, and when the last was decided.
func made(items []fields.Object, coupons []coupon) (refunded []coupon, at time.Time) {
	for i, item := range items {
		if item.Quiet().Text("audit_result") != auditRefused {
			refunded = append(refunded, coupons[i])
		}
		if decided := item.Quiet().Instant("audit_time"); decided.After(at) {
			at = decided
		}
	}
	return refunded, at
}

// Events are the refund.
func (m refundNotice) Events() ([]platform.Event, error) {
	n := *m.notice
	return []platform.Event{{Order: &n}}, nil
}
